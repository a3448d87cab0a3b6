"""What every runner must do, whatever it runs: the suite of gym_queue.testing.conformance for each of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from gym_queue.errors import Forbidden
from gym_queue.names import RUNNERS
from gym_queue.runners.base import Runner
from gym_queue.runners.fake import FakeRunner
from gym_queue.runners.local.runner import LocalRunner
from gym_queue.runners.processes import find_processes
from gym_queue.specs.env import EnvSpec
from gym_queue.testing.conformance import RunnerConformance, Subject
from gym_queue.testing.conformance.subject import Cases, output_of

SPEC = EnvSpec.model_validate(
    {
        "id": "conformance",
        "observation": [{"type": "rgb_screen", "resolution": [640, 400]}, {"type": "cli_stdout"}],
        "action": [{"type": "keyboard"}, {"type": "mouse"}],
    }
)


def _commands(env_id: str) -> Sequence[str]:
    return [" ".join(each.cmdline()) for each in find_processes(env_id)]


def _kill_all(env_id: str) -> None:
    for process in find_processes(env_id):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


class HostFileCases(Cases):
    """A sandbox whose files are the host's: no path may lead out of its home folder."""

    @pytest.mark.parametrize(
        "path", ["../outside", "/etc/passwd", "a/../../b", "~/../c", "link/file", "link"]
    )
    def test_a_path_outside_the_sandbox_is_refused(self, runner: Runner, tmp_path: Path, path: str) -> None:
        output_of(runner, f"ln -s {tmp_path} link")
        (tmp_path / "file").write_text("host's")
        with pytest.raises(Forbidden, match="outside"):
            runner.copy_to(tmp_path / "file", path)
        with pytest.raises(Forbidden, match="outside"):
            runner.copy_from(path, tmp_path / "stolen")

    def test_a_folder_that_holds_a_link_out_is_refused(self, runner: Runner, tmp_path: Path) -> None:
        output_of(runner, "mkdir tree && ln -s /etc tree/link")
        with pytest.raises(Forbidden, match="outside"):
            runner.copy_from("tree", tmp_path / "stolen")


class TestLocal(RunnerConformance, HostFileCases):
    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(RUNNERS["local"], SPEC, LocalRunner, _commands, kill=_kill_all)


class TestFake(RunnerConformance, HostFileCases):
    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(RUNNERS["fake"], SPEC, FakeRunner, _commands, shell=False)
