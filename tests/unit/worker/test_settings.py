from __future__ import annotations

import json
import logging
import socket
from pathlib import Path

import pytest

from gym_queue.env.bounds import EpisodeBounds
from gym_queue.errors import ConnectionFailed, RequestInvalid
from gym_queue.runners.base import VmOptions
from gym_queue.settings import WorkerSettings
from gym_queue.verifiers import VerifierLimits
from gym_queue.web.limits import BodyLimits, DoorLimits
from gym_queue.worker.allowances import (
    episode_bounds_of,
    host_policy_of,
    verifier_limits_of,
    vm_options_of,
)
from gym_queue.worker.announce import advertised_host
from gym_queue.worker.run import check_settings, warn_of_wide_root


@pytest.mark.parametrize(
    "url", ["http://localhost:5800", "https://master", "http://10.0.0.1:80/", "http://[::1]:5800"]
)
def test_master_urls_are_taken(url: str) -> None:
    check_settings(WorkerSettings(master_url=url))


@pytest.mark.parametrize(
    "url", ["", "localhost:5800", "ftp://x", "http://", "http://[nonsense", "http://x:y", "http://x:99999"]
)
def test_what_is_no_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(RequestInvalid, match="http://host:5800"):
        check_settings(WorkerSettings(master_url=url))


@pytest.mark.parametrize(
    "settings", [{"reset_policy": "none"}, {"worker_id": "a b"}, {"worker_id": ""}, {"worker_id": "x" * 129}]
)
def test_settings_that_could_only_fail_later_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(RequestInvalid, match=r"is (unknown|not valid)"):
        check_settings(WorkerSettings(**settings))  # type: ignore[arg-type]


def test_environments_come_from_the_working_folder_unless_roots_are_given(tmp_path: Path) -> None:
    policy = host_policy_of(WorkerSettings())
    assert (policy.env_roots, policy.allow_paths, policy.allow_privileged) == ((Path.cwd(),), (), False)
    policy = host_policy_of(WorkerSettings(env_roots=(tmp_path, Path("x")), allow_paths=(tmp_path,)))
    assert (policy.env_roots, policy.allow_paths) == ((tmp_path, Path("x").absolute()), (tmp_path,))


@pytest.mark.parametrize("where", ["/", "home", "linked home"])
def test_a_worker_started_where_everything_lies_says_so_in_one_line(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "linked").symlink_to(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "linked" if where == "linked home" else tmp_path))
    monkeypatch.chdir("/" if where == "/" else tmp_path)
    with caplog.at_level(logging.WARNING):
        warn_of_wide_root(WorkerSettings())
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"started in {Path.cwd()}: specs can mount what lies there" in line
    assert line.endswith("--env-root")


def test_a_worker_with_a_folder_of_its_own_has_nothing_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    warn_of_wide_root(WorkerSettings())
    monkeypatch.chdir("/")
    warn_of_wide_root(WorkerSettings(env_roots=(tmp_path,)))
    assert caplog.records == []


def test_verifier_limits_are_the_settings_in_bytes_and_seconds() -> None:
    assert verifier_limits_of(WorkerSettings()) == VerifierLimits()
    settings = WorkerSettings(verifier_memory_gb=0.5, verifier_file_gb=2, verifier_user="nobody")
    limits = verifier_limits_of(settings)
    assert (limits.memory_bytes, limits.file_bytes, limits.user) == (512 << 20, 2 << 30, "nobody")


def test_the_default_settings_are_the_default_limits() -> None:
    settings = WorkerSettings()
    assert episode_bounds_of(settings) == EpisodeBounds()
    assert (BodyLimits.of(settings), DoorLimits.of(settings)) == (BodyLimits(), DoorLimits())


def test_what_a_step_may_ask_is_in_the_settings() -> None:
    bounds = episode_bounds_of(WorkerSettings(max_actions=5, max_wait_s=9, max_frames=7, copy_gb=0.5))
    assert bounds == EpisodeBounds(actions=5, wait_s=9, frames=7, copy_bytes=512 << 20)


def test_how_long_a_screen_settles_is_in_the_settings() -> None:
    bounds = episode_bounds_of(WorkerSettings(settle_ms=50, settle_max_ms=700))
    assert (bounds.settle_s, bounds.settle_max_s) == (0.05, 0.7)


def test_how_virtual_machines_run_is_in_the_settings_and_what_the_doctor_saw(tmp_path: Path) -> None:
    settings = WorkerSettings(allow_emulation=True, vm_image_dir=tmp_path)
    assert vm_options_of(settings, "tcg") == VmOptions("tcg", allow_emulation=True, image_dir=tmp_path)
    assert vm_options_of(WorkerSettings()) == VmOptions()


def test_options_of_virtual_machines_reach_the_environments_process_as_they_are(tmp_path: Path) -> None:
    for options in (
        VmOptions(),
        VmOptions("kvm", allow_emulation=True, image_dir=tmp_path, keep_booted=False),
    ):
        assert VmOptions.parse(json.loads(json.dumps(options.dump()))) == options


def test_a_master_on_loopback_is_told_loopback() -> None:
    assert advertised_host("http://127.0.0.1:5800", "0.0.0.0") == "127.0.0.1"


def test_an_address_that_was_chosen_is_advertised() -> None:
    assert advertised_host("http://anywhere:5800", "10.1.2.3") == "10.1.2.3"


def test_a_master_that_cannot_be_resolved_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ConnectionFailed, match="--master-url"):
        advertised_host("http://nowhere.invalid:5800", "0.0.0.0")
