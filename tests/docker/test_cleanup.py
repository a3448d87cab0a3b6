"""Nothing stays: not of a close, not of a process that was killed; and never anything of somebody who lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gym_queue.runners import owner
from gym_queue.runners.docker.cleanup import remove_orphans
from gym_queue.runners.docker.client import Daemon
from gym_queue.runners.docker.image import REPOSITORY, BuildContext, build_arguments
from gym_queue.runners.docker.runner import DockerRunner
from tests.docker.conftest import MakeRunner, container_names, make_spec

STARTS_AND_WAITS = """
import sys
from pathlib import Path
from gym_queue.runners.base import RunnerSetup
from gym_queue.runners.docker.runner import DockerRunner
from tests.docker.conftest import make_spec
runner = DockerRunner(RunnerSetup("orphan", make_spec({"image": sys.argv[1]}), None, Path(sys.argv[2])))
runner.start()
print("ready", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_and_what_lives_is_not(
    runner: DockerRunner, daemon: Daemon, image: str, tmp_path: Path
) -> None:
    arguments = [sys.executable, "-c", STARTS_AND_WAITS, image, str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        remove_orphans()
        assert len(container_names(daemon, "orphan")) == 1
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    remove_orphans()
    assert container_names(daemon, "orphan") == []
    assert runner.exec("echo alive", timeout_s=20).output == "alive\n"


def test_a_container_of_another_host_is_left_alone(daemon: Daemon, image: str) -> None:
    labels = owner.labels_of("elsewhere", owner.Place("another-machine", "", ""), os.getpid())
    other = daemon.sdk.containers.create(image, command=["true"], labels=labels)
    try:
        remove_orphans()
        assert container_names(daemon, "elsewhere") == [other.name]
    finally:
        other.remove()


def test_close_removes_the_volumes_of_the_image(
    make: MakeRunner, daemon: Daemon, image: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nVOLUME /kept\n")
    before = {each.id for each in daemon.sdk.volumes.list()}
    runner = make(dockerfile=str(tmp_path / "Dockerfile"))
    runner.start()
    during = {each.id for each in daemon.sdk.volumes.list()} - before
    runner.close()
    context = BuildContext(tmp_path / "Dockerfile", build_arguments(make_spec({})))
    daemon.sdk.images.remove(f"{REPOSITORY}:{context.digest()}")
    assert during
    assert not during & {each.id for each in daemon.sdk.volumes.list()}


@pytest.mark.parametrize("fails", ["pre", "post"])
def test_a_start_that_fails_leaves_no_container(make: MakeRunner, daemon: Daemon, fails: str) -> None:
    fields: dict[str, dict[str, Any]] = {
        "pre": {"security": {"user": "nobodyhere"}},
        "post": {"entrypoint": "exit 1", "observation": [{"type": "rgb_screen"}]},
    }
    runner = make("failing", **fields[fails])
    with pytest.raises(Exception, match=r"nobodyhere|no X server"):
        runner.start()
    assert container_names(daemon, "failing") == []
