from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from gym_queue.errors import StartupFailed
from gym_queue.settings import ClientSettings, MasterSettings, WorkerSettings, find_or_make_token, find_token


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the token belongs in this test; nothing is there yet."""
    for name in [name for name in os.environ if name.startswith("GYM_ANYTHING_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "config/token"
    monkeypatch.setenv("GYM_ANYTHING_TOKEN_FILE", str(path))
    return path


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.chmod(mode)


def test_there_is_no_token_until_one_is_made(token_file: Path) -> None:
    assert find_token() is None
    assert not token_file.parent.exists()


def test_a_token_is_made_once_for_its_user_alone(token_file: Path) -> None:
    token = find_or_make_token()
    assert len(token) >= 32
    assert find_or_make_token() == find_token() == token
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(token_file.parent.stat().st_mode) == 0o700
    assert list(token_file.parent.iterdir()) == [token_file]


def test_programs_that_start_together_make_one_token(token_file: Path) -> None:
    code = "import sys; from gym_queue.settings import find_or_make_token; sys.stdin.read(); print(find_or_make_token())"
    starting = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in starting:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    tokens = {process.communicate(timeout=30)[0].strip() for process in starting}
    assert tokens == {find_token()}
    assert list(token_file.parent.iterdir()) == [token_file]


def test_the_variable_wins_over_the_file(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_or_make_token()
    monkeypatch.setenv("GYM_ANYTHING_TOKEN", " given\n")
    assert find_token() == find_or_make_token() == "given"


def test_an_empty_variable_counts_as_unset(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = find_or_make_token()
    monkeypatch.setenv("GYM_ANYTHING_TOKEN", "")
    assert find_token() == find_or_make_token() == token


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_token_file_open_to_others_is_refused(token_file: Path, mode: int) -> None:
    write(token_file, b"token", mode)
    for find in (find_token, find_or_make_token):
        with pytest.raises(StartupFailed, match=f"chmod 600 {token_file}"):
            find()


@pytest.mark.parametrize(("content", "reason"), [(b" \n", "is empty"), (b"\xff\xfe", "not text")])
def test_a_token_file_without_a_token_is_refused(token_file: Path, content: bytes, reason: str) -> None:
    write(token_file, content)
    with pytest.raises(StartupFailed, match=reason):
        find_or_make_token()


def test_a_token_file_that_is_a_folder_is_refused(token_file: Path) -> None:
    token_file.mkdir(parents=True)
    with pytest.raises(StartupFailed, match="cannot be read"):
        find_or_make_token()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_rights_is_told(token_file: Path) -> None:
    token_file.parent.mkdir(mode=0o500)
    with pytest.raises(StartupFailed, match="GYM_ANYTHING_TOKEN_FILE"):
        find_or_make_token()


def test_a_folder_that_cannot_be_made_is_told(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_ANYTHING_TOKEN_FILE", "/proc/nothing/token")
    with pytest.raises(StartupFailed, match="cannot be written"):
        find_or_make_token()


def test_a_token_is_not_shown(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_ANYTHING_TOKEN", "secret")
    assert "secret" not in f"{ClientSettings()!r} {ClientSettings()} {ClientSettings().model_dump()}"


def test_variables_set_what_flags_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_ANYTHING_MASTER_PORT", "1234")
    assert MasterSettings().port == 1234
    assert MasterSettings(port=4321).port == 4321


def test_empty_variables_leave_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_ANYTHING_WORKER_MAX_ENVS", "")
    monkeypatch.setenv("GYM_ANYTHING_WORKER_MASTER_URL", "")
    assert (WorkerSettings().max_envs, WorkerSettings().master_url) == (4, None)


@pytest.mark.parametrize(
    "fields", [{"port": 65536}, {"port": -1}, {"heartbeat_s": 0}, {"queue_timeout_s": -1}]
)
def test_settings_out_of_range_are_refused(fields: dict) -> None:
    with pytest.raises(ValidationError):
        MasterSettings(**fields)
