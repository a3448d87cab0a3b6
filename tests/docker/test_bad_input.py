"""What may be wrong with a container, its image, its entrypoint: a typed, clear error, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gym_queue.env.hooks import run_hook
from gym_queue.errors import (
    EnvTimeout,
    Forbidden,
    HookFailed,
    NotSupported,
    RunnerFailed,
    RunnerUnavailable,
    SpecInvalid,
)
from gym_queue.protocol.actions import parse_actions
from gym_queue.runners.docker.client import Daemon
from gym_queue.runners.docker.runner import DockerRunner
from tests.docker.conftest import MakeRunner, container_names

SCREEN = [{"type": "rgb_screen", "resolution": [640, 480]}]


def refuse(make: MakeRunner, daemon: Daemon, match: str, **fields: Any) -> RunnerFailed:
    """See that a start fails with RunnerFailed, and leaves nothing."""
    runner = make("refused", **fields)
    with pytest.raises(RunnerFailed, match=match) as raised:
        runner.start()
    assert container_names(daemon, "refused") == []
    return raised.value


def observe_until_it_fails(runner: DockerRunner) -> None:
    for _ in range(10_000):  # the first call after the end may still be answered
        runner.observe()


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:9"])
def test_without_a_daemon_the_runner_is_unavailable_and_the_remedy_is_named(
    make: MakeRunner, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(RunnerUnavailable, match="DOCKER_HOST"):
        make().start()


def test_an_image_that_is_nowhere_is_named(make: MakeRunner, daemon: Daemon) -> None:
    refuse(
        make,
        daemon,
        r"localhost:9/no/such:1 is not on this machine.*check the name",
        image="localhost:9/no/such:1",
    )


def test_an_image_name_that_is_none_is_refused(make: MakeRunner, daemon: Daemon) -> None:
    refuse(make, daemon, "invalid reference", image="No Such:Image")


def test_a_spec_without_image_is_refused(make: MakeRunner) -> None:
    with pytest.raises(SpecInvalid, match="no image"):
        make(image=None).start()


def test_an_unknown_runtime_is_named_with_its_remedy(make: MakeRunner, daemon: Daemon) -> None:
    refuse(make, daemon, "nonesuch.*install that runtime", security={"user": "root", "runtime": "nonesuch"})


def test_a_user_that_the_image_lacks_is_named(make: MakeRunner, daemon: Daemon) -> None:
    refuse(make, daemon, "nobodyhere", security={"user": "nobodyhere"})


def test_a_list_of_allowed_hosts_cannot_be_enforced(make: MakeRunner) -> None:
    with pytest.raises(NotSupported, match="network_allowlist"):
        make(security={"network_allowlist": ["example.org"]}).start()


def test_more_memory_than_the_daemon_gives_out_is_refused_by_it(make: MakeRunner, daemon: Daemon) -> None:
    refuse(make, daemon, "[Mm]inimum memory limit", resources={"mem_gb": 0.001})


def test_nothing_that_answers_on_x_is_said_with_what_the_entrypoint_said(
    make: MakeRunner, daemon: Daemon
) -> None:
    error = refuse(
        make, daemon, "no X server answers on :99", observation=SCREEN, entrypoint="echo my words; exit 3"
    )
    assert "ended with status 3" in str(error)
    assert "my words" in str(error)


def test_an_image_without_any_x_server_is_said(make: MakeRunner, daemon: Daemon) -> None:
    refuse(make, daemon, "its image has no Xvfb", observation=SCREEN)


def test_an_application_that_never_opens_a_window_is_no_error(make: MakeRunner, x11_image: str) -> None:
    runner = make(image=x11_image, observation=SCREEN, entrypoint="exec sleep infinity")
    runner.start()
    assert runner.observe().png


def test_an_x_server_that_dies_is_an_environment_lost(make: MakeRunner, x11_image: str) -> None:
    runner = make(image=x11_image, observation=SCREEN)
    runner.start()
    runner.exec("pkill -9 Xvfb", timeout_s=20)
    with pytest.raises(RunnerFailed):
        observe_until_it_fails(runner)


def test_a_container_that_died_says_so(runner: DockerRunner, daemon: Daemon) -> None:
    daemon.sdk.containers.get(str(runner.info().container_name)).kill()
    with pytest.raises(RunnerFailed, match="has ended with status 137"):
        runner.exec("true", timeout_s=20)


def test_a_container_that_somebody_removed_says_so(runner: DockerRunner, daemon: Daemon) -> None:
    daemon.sdk.containers.get(str(runner.info().container_name)).remove(force=True)
    with pytest.raises(RunnerFailed, match="removed by somebody else"):
        runner.exec("true", timeout_s=20)


def test_a_container_out_of_memory_says_so(make: MakeRunner, x11_image: str) -> None:
    runner = make(image=x11_image, observation=SCREEN, resources={"mem_gb": 0.1, "net": False})
    runner.start()
    hungry = "head -c 400M /dev/zero | tail; echo 1000 > /proc/self/oom_score_adj; for i in 1 2 3; do head -c 400M /dev/zero | tail; done"
    runner.exec(hungry, timeout_s=60)
    runner.exec("pkill -9 Xvfb", timeout_s=20)
    with pytest.raises(RunnerFailed, match=r"memory.*raise resources\.mem_gb"):
        observe_until_it_fails(runner)


def test_a_hook_that_hangs_is_killed_with_its_daemons_and_its_output_is_kept(runner: DockerRunner) -> None:
    with pytest.raises(HookFailed, match=r"ran longer than its 1 s and was killed.*tale"):
        run_hook(runner, "pre_task", ["echo tale; (setsid sleep 987654 &); sleep 987654"], timeout_s=1)
    assert runner.exec("grep -ls 98765[4] /proc/[0-9]*/cmdline", timeout_s=20).output == ""


def test_what_another_user_was_made_to_run_is_killed_as_well(make: MakeRunner) -> None:
    runner = make(security={"user": "root", "cap_drop": []})
    runner.start()
    with pytest.raises(EnvTimeout):
        runner.exec("setpriv --reuid=1234 --clear-groups sleep 987653", timeout_s=1)
    assert runner.exec("grep -ls 98765[3] /proc/[0-9]*/cmdline", timeout_s=20).output == ""


def test_a_disk_that_is_full_inside_is_the_commands_own_failure(make: MakeRunner) -> None:
    runner = make()
    runner.start()
    result = runner.exec("head -c 2G /dev/zero > /dev/shm/large", timeout_s=60)
    assert result.exit_status != 0
    assert "No space left" in result.output
    assert runner.exec("echo fine", timeout_s=20).output == "fine\n"


def test_a_voice_action_and_one_without_a_screen_are_refused(make: MakeRunner, x11_image: str) -> None:
    (voice, click) = parse_actions([{"voice": {"pcm16_b64": ""}}, {"mouse": {"left_click": [1, 1]}}])
    blind = make()
    blind.start()
    with pytest.raises(NotSupported, match="no screen"):
        blind.check(click)
    seeing = make(image=x11_image, observation=SCREEN)
    seeing.start()
    with pytest.raises(NotSupported):
        seeing.check(voice)


def test_a_mount_that_is_read_only_cannot_be_copied_into(make: MakeRunner, tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    runner = make(mounts=[{"source": str(tmp_path / "held"), "target": "/held"}])
    runner.start()
    (tmp_path / "file").write_text("x")
    with pytest.raises(Forbidden):
        runner.copy_to(tmp_path / "file", "/held/file")
