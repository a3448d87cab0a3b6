"""The local runner with display_backend x11: an Xvfb of this host."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gym_queue.errors import NotSupported, RunnerFailed
from gym_queue.protocol.actions import parse_actions
from gym_queue.runners.base import Runner, RunnerSetup, Views
from gym_queue.runners.display.viewer import connect_viewer
from gym_queue.runners.processes import find_processes
from gym_queue.runners.registry import open_runner
from gym_queue.specs.env import EnvSpec
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("Xvfb", "xterm")


def spec(**more: Any) -> EnvSpec:
    return EnvSpec.model_validate(
        {
            "id": "desktop",
            "display_backend": "x11",
            "observation": [{"type": "rgb_screen", "resolution": [640, 400]}],
            "action": [{"type": "keyboard"}, {"type": "mouse"}],
            **more,
        }
    )


@pytest.fixture
def setup(tmp_path: Path) -> RunnerSetup:
    return RunnerSetup(
        str(uuid.uuid4()), spec(entrypoint="exec xterm -wf -geometry 200x60+0+0"), None, tmp_path
    )


@pytest.fixture
def desktop(setup: RunnerSetup) -> Iterator[Runner]:
    runner = open_runner("local", setup)
    runner.start()
    yield runner
    runner.close()


def act(runner: Runner, *actions: dict[str, object]) -> None:
    for action in parse_actions(actions):
        runner.act(action)
    runner.settle(max_s=5)


def test_the_entrypoint_runs_on_a_screen_that_is_typed_into(desktop: Runner, setup: RunnerSetup) -> None:
    act(desktop, {"mouse": {"move": [300, 200]}})
    home = setup.work_dir / "home"
    wait_until(lambda: find_shell(setup.env_id))
    act(desktop, {"keyboard": {"text": "echo übung > made\n"}})
    wait_until(lambda: (home / "made").exists() and (home / "made").read_text() == "übung\n")


def find_shell(env_id: str) -> bool:
    return any(process.name() == "bash" for process in find_processes(env_id))


def test_commands_have_the_display(desktop: Runner) -> None:
    before = desktop.observe().png
    assert desktop.exec('xterm & test -n "$DISPLAY" -a -r "$XAUTHORITY"', timeout_s=20).exit_status == 0
    wait_until(lambda: desktop.observe().png != before)


def test_close_leaves_no_process_and_no_file(desktop: Runner, setup: RunnerSetup) -> None:
    desktop.close()
    desktop.close()
    assert not find_processes(setup.env_id)
    assert not list(setup.work_dir.iterdir())
    with pytest.raises(RunnerFailed):
        desktop.observe()


def test_what_a_host_desktop_has_not_is_refused(tmp_path: Path) -> None:
    for more in ({"image": "x"}, {"display_backend": "wayland"}, {"observation": [{"type": "cli_stdout"}]}):
        with pytest.raises(NotSupported):
            open_runner("local", RunnerSetup("never", spec(**more), None, tmp_path))


@pytest.mark.needs("x11vnc")
def test_the_screen_is_watched_by_x11vnc_which_ends_with_it(desktop: Runner, setup: RunnerSetup) -> None:
    assert isinstance(desktop, Views)
    path = desktop.open_view(control=False)
    assert desktop.open_view(control=False) == path
    assert desktop.open_view(control=True) != path
    with connect_viewer(path) as viewer:
        viewer.settimeout(10)
        assert viewer.recv(12) == b"RFB 003.008\n"
        desktop.close()
        assert viewer.recv(12) == b""
    assert find_processes(setup.env_id) == []
