"""Files by way of the helper."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gym_queue.errors import Forbidden, PathNotFound, RequestInvalid, RunnerFailed, TooLarge
from gym_queue.runners.qemu.guest.linux import LinuxGuest
from tests.unit.qemu.guest.conftest import Connect

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts small disks and is others")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give the guest's home folder, which is of this host here."""
    return tmp_path / "home"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Give a folder of this host."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("new/folder/file", "new/folder/file"),
        ("~/file", "file"),
        ("there", "there/in"),
        ("there/", "there/in"),
        ("not-there/", "not-there/in"),
        ("-dash", "-dash"),
        ("a'b\"c$d ünï漢", "a'b\"c$d ünï漢"),
        ("half\udce9", "half\udce9"),
        ("link", "link"),
    ],
)
def test_a_file_goes_where_its_target_says_and_comes_back(
    guest: LinuxGuest, home: Path, here: Path, target: str, place: str
):
    (home / "there").mkdir()
    (home / "elsewhere").write_text("kept")
    (home / "link").symlink_to("elsewhere")
    (here / "in").write_bytes(b"\0bytes")
    (here / "in").chmod(0o751)
    guest.copy_to(here / "in", target)
    assert (home / place).read_bytes() == b"\0bytes"
    assert (home / place).stat().st_mode & 0o7777 == 0o751
    assert (home / "elsewhere").read_text() == "kept"
    guest.copy_from(place, here / "out" / "file")
    assert (here / "out" / "file").read_bytes() == b"\0bytes"
    guest.copy_from(str(home / place), here / "out")
    assert (here / "out" / Path(place).name).read_bytes() == b"\0bytes"


def test_a_folder_is_merged_into_its_target_and_comes_back(guest: LinuxGuest, home: Path, here: Path):
    (here / "tree" / "sub").mkdir(parents=True)
    (here / "tree" / "sub" / "b\udce9").write_text("new")
    (here / "tree" / "up").symlink_to("sub")
    (home / "tree" / "sub").mkdir(parents=True)
    (home / "tree" / "kept").write_text("kept")
    (home / "tree" / "up").mkdir()
    guest.copy_to(here / "tree", "tree")
    assert sorted(each.name for each in (home / "tree").iterdir()) == ["kept", "sub", "up"]
    assert (home / "tree" / "up").readlink() == Path("sub")
    os.link(home / "tree" / "kept", home / "tree" / "twin")
    guest.copy_from("tree", here / "back")
    assert (here / "back" / "up" / "b\udce9").read_text() == "new"
    assert (here / "back" / "twin").read_text() == "kept"


def test_a_deep_and_an_empty_folder_come_back(guest: LinuxGuest, home: Path, here: Path):
    deep = Path(*["d"] * 200)
    (home / "top" / deep).mkdir(parents=True)
    guest.copy_from("top", here / "back")
    assert (here / "back" / deep).is_dir()


def test_megabytes_pass_each_way_while_commands_run(guest: LinuxGuest, home: Path, here: Path):
    content = os.urandom(20_000_000)
    (here / "large").write_bytes(content)
    guest.copy_to(here / "large", "large")
    guest.exec("true", timeout_s=30)
    guest.copy_from("large", here / "back")
    assert (here / "back").read_bytes() == content


@as_root
def test_what_is_copied_belongs_to_the_setups_user(connect: Connect, tmp_path: Path, here: Path):
    place = tmp_path / "root's"
    place.mkdir(mode=0o700)
    (here / "tree").mkdir()
    (here / "tree" / "file").write_text("x")
    connect(user="1234:5678").copy_to(here / "tree", str(place / "made" / "tree"))
    status = (place / "made" / "tree" / "file").stat()
    assert (status.st_uid, status.st_gid) == (1234, 5678)


@pytest.mark.parametrize("path", ["nothing", "", "a\0b", "file/below"])
def test_what_does_not_exist_cannot_be_copied_out(guest: LinuxGuest, home: Path, here: Path, path: str):
    (home / "file").write_text("")
    with pytest.raises(PathNotFound):
        guest.copy_from(path, here / "x")


def test_what_does_not_exist_here_cannot_be_copied_in(guest: LinuxGuest, here: Path):
    with pytest.raises(PathNotFound):
        guest.copy_to(here / "nothing", "x")


def test_a_target_below_a_file_is_refused(guest: LinuxGuest, home: Path, here: Path):
    (home / "file").write_text("")
    (here / "in").write_bytes(b"x" * 1_000_000)
    with pytest.raises(RequestInvalid, match=r"Not a directory|File exists"):
        guest.copy_to(here / "in", "file/below/it")
    assert guest.exec("echo on", timeout_s=30).output == "on\n"


@pytest.mark.parametrize("link", ["/etc/passwd", "../out"])
def test_a_link_that_leads_out_is_not_let_out(guest: LinuxGuest, home: Path, here: Path, link: str):
    (home / "tree").mkdir()
    (home / "tree" / "link").symlink_to(link)
    with pytest.raises(Forbidden, match="outside"):
        guest.copy_from("tree", here / "x")
    with pytest.raises(Forbidden, match="outside"):
        guest.copy_from("tree/link", here / "x")
    assert not (here / "x").exists()


def test_a_fifo_is_not_let_out_and_a_socket_is_left_behind(guest: LinuxGuest, home: Path, here: Path):
    (home / "tree").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "tree" / "socket"))
        guest.copy_from("tree", here / "empty")
    assert list((here / "empty").iterdir()) == []
    os.mkfifo(home / "tree" / "fifo")
    with pytest.raises(Forbidden, match="FIFO"):
        guest.copy_from("tree", here / "x")


def test_more_than_a_copy_may_take_is_refused_and_the_guest_serves_on(
    connect: Connect, home: Path, here: Path
):
    guest = connect(copy_bytes=1_000_000)
    for place in (home / "large", here / "large"):
        place.write_bytes(b"x" * 5_000_000)
    with pytest.raises(TooLarge):
        guest.copy_from("large", here / "x")
    with pytest.raises(TooLarge):
        guest.copy_to(here / "large", "x")
    (home / "small").write_text("small")
    guest.copy_from("small", here / "x")


@as_root
def test_a_full_disk_of_the_guest_is_said(guest: LinuxGuest, small_disk: Path, here: Path):
    (here / "large").write_bytes(b"x" * 5_000_000)
    with pytest.raises(RunnerFailed, match="No space left"):
        guest.copy_to(here / "large", str(small_disk / "large"))
    assert guest.exec("echo on", timeout_s=30).output == "on\n"


@as_root
def test_a_full_disk_of_this_host_is_said(guest: LinuxGuest, home: Path, small_disk: Path):
    (home / "large").write_bytes(b"x" * 5_000_000)
    with pytest.raises(RunnerFailed, match="No space left"):
        guest.copy_from("large", small_disk / "large")
    assert guest.exec("echo on", timeout_s=30).output == "on\n"


@as_root
def test_a_read_only_disk_of_the_guest_is_said(guest: LinuxGuest, small_disk: Path, here: Path):
    (here / "in").write_text("x")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(Forbidden, match="Read-only"):
        guest.copy_to(here / "in", str(small_disk / "x"))


def test_what_is_neither_file_folder_nor_link_is_not_copied_in(guest: LinuxGuest, here: Path):
    os.mkfifo(here / "never")
    with pytest.raises(RequestInvalid, match="neither"):
        guest.copy_to(here, "x")
