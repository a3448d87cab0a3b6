from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gym_queue.errors import RunnerFailed, RunnerUnavailable
from gym_queue.runners.qemu.guest.ssh import Login, SshConnection, read_login
from gym_queue.runners.qemu.guest.sshwindows import sftp_path
from gym_queue.specs.env import EnvSpec


def spec_of(**given: Any) -> EnvSpec:
    base = {"id": "e", "observation": [{"type": "rgb_screen"}], "action": [{"type": "mouse"}]}
    return EnvSpec.model_validate({**base, **given})


def test_a_login_is_read_from_the_spec():
    spec = spec_of(ssh={"user": "ga", "password": "p", "shell": "cmd"})
    assert read_login(spec) == Login("ga", "p", shell="cmd")


def test_the_password_may_stand_with_the_account():
    spec = spec_of(
        ssh={"user": "Docker", "shell": "powershell"}, user_accounts=[{"name": "Docker", "password": "p!"}]
    )
    assert read_login(spec) == Login("Docker", "p!", shell="powershell")


@pytest.mark.parametrize("ssh", [{}, {"user": "ga"}, {"port": 22}])
def test_a_spec_that_does_not_say_how_to_log_in_has_no_login(ssh: dict[str, Any]):
    assert read_login(spec_of(ssh=ssh)) is None


def test_a_key_that_is_no_file_is_said(tmp_path: Path):
    with pytest.raises(RunnerFailed, match="is no file of this host"):
        read_login(spec_of(ssh={"user": "ga", "key": str(tmp_path / "none")}))


def test_a_host_without_the_library_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "paramiko", None)
    with pytest.raises(RunnerUnavailable, match=r"pip install 'gym-queue\[qemu\]'"):
        SshConnection(1, Login("ga", "p"), lambda: None)


def test_drives_are_folders_of_sftp():
    assert sftp_path(r"C:\Windows\Temp\x.ps1") == "/C:/Windows/Temp/x.ps1"
