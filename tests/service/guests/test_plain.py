"""Guests that scripts alone drive, by every way in: a real agent, SSH server and adb, all of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gym_queue.errors import EnvTimeout, PathNotFound, RequestInvalid, RunnerFailed, TooLarge
from gym_queue.runners.qemu.guest.carrier import Carrier
from gym_queue.runners.qemu.guest.plain import PlainGuest
from tests.service.guests.conftest import CARRIERS, MakeSetup
from tests.waiting import wait_until

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


def test_a_command_runs_to_its_end_with_the_variables_of_the_setup(guest: PlainGuest):
    result = guest.exec('echo "$GREETING"; echo "it\'s" >&2; exit 7', timeout_s=30)
    assert (result.exit_status, result.output) == (7, "hello there\nit's\n")


def test_a_child_that_is_left_behind_holds_nothing_up(guest: PlainGuest, tmp_path: Path):
    os.mkfifo(tmp_path / "go")
    child = guest.exec(f"read line <'{tmp_path}/go' & echo $!", timeout_s=60).output
    assert psutil.pid_exists(int(child))
    (tmp_path / "go").write_text("end\n")


def test_a_command_out_of_time_is_killed_with_its_children_and_its_output_is_told(guest: PlainGuest):
    with pytest.raises(EnvTimeout, match="longer than 2 s and was killed: echo start") as caught:
        guest.exec("echo start; sleep 61.5 & echo $!; setsid sleep 61.5; wait", timeout_s=2)
    start, child, *_ = caught.value.details["output"].split()
    assert start == "start"
    assert not psutil.pid_exists(int(child)) or psutil.Process(int(child)).status() == psutil.STATUS_ZOMBIE


def test_the_end_of_a_long_output_is_kept(guest: PlainGuest):
    output = guest.exec("seq 500000; echo end", timeout_s=60).output
    assert output.startswith("[")
    assert "bytes of output before this were dropped]\n" in output[:80]
    assert output.endswith("499999\n500000\nend\n")


def test_a_command_that_goes_on_can_be_looked_at(guest: PlainGuest, tmp_path: Path):
    os.mkfifo(tmp_path / "go")
    started = guest.start(f"echo up; read line <'{tmp_path}/go'; echo $line; exit 3", "server")
    assert not started.status
    (tmp_path / "go").write_text("gone\n")
    wait_until(lambda: started.status == 3)
    assert started.output == "up\ngone\n"


def test_files_and_folders_go_in_and_come_out_as_they_were(guest: PlainGuest, tmp_path: Path):
    source = tmp_path / "it's a folder"
    (source / "sub").mkdir(parents=True)
    (source / "sub/run.sh").write_text("echo ran")
    (source / "sub/run.sh").chmod(0o755)
    (source / "link").symlink_to("sub/run.sh")
    inside = f"{tmp_path}/inside/a b"
    guest.copy_to(source, inside)
    assert (
        guest.exec(f"'{inside}/sub/run.sh'; readlink '{inside}/link'", timeout_s=30).output
        == "ran\nsub/run.sh\n"
    )
    guest.copy_from(inside, tmp_path / "out")
    assert os.access(tmp_path / "out/sub/run.sh", os.X_OK)
    assert (tmp_path / "out/link").readlink() == Path("sub/run.sh")


def test_a_file_goes_into_a_folder_or_gets_a_new_name(guest: PlainGuest, tmp_path: Path):
    source = tmp_path / "data.bin"
    source.write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "there").mkdir()
    guest.copy_to(source, f"{tmp_path}/there")
    guest.copy_to(source, f"{tmp_path}/new/other.bin")
    guest.copy_from(f"{tmp_path}/new/other.bin", tmp_path / "back.bin")
    assert (tmp_path / "there/data.bin").read_bytes() == source.read_bytes()
    assert (tmp_path / "back.bin").read_bytes() == source.read_bytes()


def test_what_is_missing_or_in_the_way_is_said(guest: PlainGuest, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(PathNotFound, match="there is no /nowhere/at/all in the guest"):
        guest.copy_from("/nowhere/at/all", tmp_path / "x")
    with pytest.raises(PathNotFound, match="on this host"):
        guest.copy_to(tmp_path / "nothing", "/tmp/x")
    with pytest.raises(RequestInvalid, match="cannot be made in the guest"):
        guest.copy_to(tmp_path / "file", f"{tmp_path}/file/below")


@pytest.mark.needs("sshd")
def test_a_copy_beyond_the_limit_is_refused_both_ways(
    carry: Callable[[str], Carrier], make_setup: MakeSetup, tmp_path: Path
):
    guest = PlainGuest(carry("ssh"), make_setup(copy_bytes=1000))
    (tmp_path / "large").write_bytes(bytes(2000))
    with pytest.raises(TooLarge):
        guest.copy_to(tmp_path / "large", "/tmp/never")
    with pytest.raises(TooLarge):
        guest.copy_from(f"{tmp_path}/large", tmp_path / "never")


@as_root
@pytest.mark.parametrize("way", CARRIERS[:2])
def test_commands_and_files_are_the_setups_users(
    carry: Callable[[str], Carrier], make_setup: MakeSetup, tmp_path: Path, way: str
):
    guest = PlainGuest(carry(way), make_setup("nobody", HOME="/"))
    assert guest.exec("id -un", timeout_s=30).output == "nobody\n"
    assert guest.exec("id -un", timeout_s=30, user="root").output == "root\n"
    (tmp_path / "given").touch()
    guest.copy_to(tmp_path / "given", f"{tmp_path}/made/given")
    assert (tmp_path / "made/given").owner() == "nobody"


@pytest.mark.needs("sshd")
def test_an_account_that_is_not_there_is_said(carry: Callable[[str], Carrier], make_setup: MakeSetup):
    with pytest.raises(RunnerFailed, match="no account 'nobody-at-all'"):
        PlainGuest(carry("ssh"), make_setup("nobody-at-all")).exec("true", timeout_s=30)


def test_nothing_runs_after_close(guest: PlainGuest):
    assert guest.exec("true", timeout_s=30).exit_status == 0
    guest.close()
    guest.close()
    with pytest.raises(RunnerFailed, match="was closed"):
        guest.exec("true", timeout_s=30)
