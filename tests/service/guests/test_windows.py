"""Windows guests, against a peer that speaks the agent's protocol and plays what PowerShell would answer."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gym_queue.errors import EnvTimeout, NotSupported, PathNotFound, RequestInvalid
from gym_queue.runners.qemu.guest.agent import GuestAgent
from gym_queue.runners.qemu.guest.agentways import AgentWindows
from gym_queue.runners.qemu.guest.windows import WindowsGuest
from tests.service.guests.conftest import MakeSetup
from tests.service.guests.windowsagent import Play, WindowsAgent

Open = Callable[..., tuple[WindowsGuest, WindowsAgent]]


@pytest.fixture
def open_windows(tmp_path: Path, make_setup: MakeSetup) -> Iterator[Open]:
    opened: list[tuple[WindowsGuest, WindowsAgent]] = []

    def open_windows(play: Play, *, shell: str = "") -> tuple[WindowsGuest, WindowsAgent]:
        path = tmp_path / f"{len(opened)}.sock"
        peer = WindowsAgent(path, play)
        carrier = AgentWindows(GuestAgent(path, lambda: None))
        opened.append((WindowsGuest(carrier, make_setup("root"), shell=shell, home=r"C:\Users\ga"), peer))
        return opened[-1]

    yield open_windows
    for guest, peer in opened:
        guest.close()
        peer.close()


def test_a_command_is_a_script_of_its_own_and_leaves_no_file(open_windows: Open):
    scripts: list[str] = []

    def play(script: str, files: dict[str, bytes]) -> tuple[int, bytes]:
        scripts.append(script)
        return 3, "gefährlich\r\nzwei\r\n".encode()

    guest, peer = open_windows(play)
    command = "powershell -File \"C:\\work space\\ü.ps1\"; if ($?) { 'a' }"
    result = guest.exec(command, timeout_s=30)
    assert (result.exit_status, result.output) == (3, "gefährlich\nzwei\n")
    assert command in scripts[0]
    assert peer.files == {}


def test_words_of_command_lines_need_no_quotes(open_windows: Open):
    guest, peer = open_windows(lambda script, files: (0, b""))
    guest.exec('echo "%PATH% & $x"', timeout_s=30)
    assert all(re.fullmatch(r"[\w:\\.>&<*/-]+", word) for line in peer.lines for word in line)


def test_a_command_for_cmd_is_a_batch_file(open_windows: Open):
    batches: list[bytes] = []

    def play(script: str, files: dict[str, bytes]) -> tuple[int, bytes]:
        batches.extend(content for path, content in files.items() if path.endswith(".cmd"))
        return 0, b""

    open_windows(play, shell="cmd")[0].exec("dir && echo ü", timeout_s=30)
    assert batches == ["@echo off\r\nchcp 65001 >nul\r\ndir && echo ü\r\n".encode()]


def test_a_command_out_of_time_is_killed_with_what_it_started(open_windows: Open):
    guest, peer = open_windows(lambda script, files: None)
    with pytest.raises(EnvTimeout, match=r"longer than 0\.2 s and was killed: ping") as caught:
        guest.exec("ping -t localhost", timeout_s=0.2)
    assert caught.value.details["output"] == "so far\n"
    assert "taskkill.exe /T /F /PID 4242" in peer.scripts()
    assert peer.files == {}


def test_output_in_the_consoles_own_code_page_is_read(open_windows: Open):
    guest, _ = open_windows(lambda script, files: (0, "Größe: 5\r\n".encode("cp437")))
    assert guest.exec("old.exe", timeout_s=30).output == "Größe: 5\n"


def test_files_go_in_as_an_archive_at_the_windows_path_of_the_target(open_windows: Open, tmp_path: Path):
    packed: list[bytes] = []

    def play(script: str, files: dict[str, bytes]) -> tuple[int, bytes]:
        if "CreateDirectory" in script:
            return 0, b"into|C:\\workspace\\scripts\r\n"
        packed.extend(content for path, content in files.items() if path.endswith(".tar"))
        assert "-C 'C:\\workspace\\scripts'" in script
        return 0, b""

    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/setup it.ps1").write_text("Write-Host hi")
    open_windows(play)[0].copy_to(tmp_path / "scripts", "/workspace/scripts")
    with tarfile.open(fileobj=io.BytesIO(packed[0])) as tar:
        assert tar.getnames() == ["setup it.ps1"]


def test_files_come_out(open_windows: Open, tmp_path: Path):
    def play(script: str, files: dict[str, bytes]) -> tuple[int, bytes]:
        archive = re.search(r"-cf '([^']+)'", script)
        assert archive is not None
        assert "$source = 'C:\\Users\\ga\\Desktop\\it''s.json'" in script
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            member = tarfile.TarInfo("it's.json")
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
        files[archive[1]] = content.getvalue()
        return 0, b""

    guest, peer = open_windows(play)
    guest.copy_from("Desktop/it's.json", tmp_path / "result.json")
    assert (tmp_path / "result.json").read_text() == "{}"
    assert peer.files == {}


def test_what_is_missing_or_cannot_be_made_is_said(open_windows: Open, tmp_path: Path):
    guest, _ = open_windows(
        lambda script, files: (44, b"") if "-cf" in script else (1, b"Access is denied\r\n")
    )
    with pytest.raises(PathNotFound, match="there is no C:/nothing in the guest"):
        guest.copy_from("C:/nothing", tmp_path / "x")
    (tmp_path / "file").touch()
    with pytest.raises(RequestInvalid, match="cannot be made in the guest: Access is denied"):
        guest.copy_to(tmp_path / "file", "C:\\Windows\\System32\\x")


def test_a_clock_that_may_not_be_set_is_a_warning(open_windows: Open, caplog: pytest.LogCaptureFixture):
    scripts: list[str] = []

    def play(script: str, files: dict[str, bytes]) -> tuple[int, bytes]:
        scripts.append(script)
        return 1, b"Access is denied\r\n"

    open_windows(play)[0].set_time(1700000000.25)
    assert "FromUnixTimeMilliseconds(1700000000250)" in scripts[0]
    assert "the guest's clock stays as it is: Access is denied" in caplog.text


def test_a_command_that_goes_on_is_started_by_a_batch_file(open_windows: Open):
    def play(script: str, files: dict[str, bytes]) -> tuple[int, bytes]:
        (batch,) = (path for path in files if path.endswith(".run.cmd"))
        base = batch.removesuffix(".run.cmd")
        assert f"Start-Process -FilePath '{batch}'" in script
        assert f"@>{base}.status echo %errorlevel%" in files[batch].decode()
        files[f"{base}.out"], files[f"{base}.status"] = b"done\r\n", b"5\r\n"
        return 0, b""

    started = open_windows(play)[0].start("server.exe", "server")
    assert (started.status, started.output) == (5, "done\n")


def test_another_account_cannot_be_chosen(open_windows: Open):
    with pytest.raises(NotSupported, match="'ga' cannot be chosen"):
        open_windows(lambda script, files: (0, b""))[0].exec("whoami", timeout_s=5, user="ga")
