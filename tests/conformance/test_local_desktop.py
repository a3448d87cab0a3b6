"""The suite of gym_queue.testing.conformance for the local runner with an X11 desktop."""

from __future__ import annotations

import pytest

from gym_queue.names import RUNNERS
from gym_queue.runners.registry import open_runner
from gym_queue.specs.env import EnvSpec
from gym_queue.testing.conformance import RunnerConformance, Subject
from tests.conformance.test_runners import HostFileCases, _commands, _kill_all

SPEC = EnvSpec.model_validate(
    {
        "id": "conformance-desktop",
        "display_backend": "x11",
        "entrypoint": "exec xterm -u8 -wf -geometry 160x50+0+0 -e bash --norc",
        "observation": [{"type": "rgb_screen", "resolution": [640, 400]}],
        "action": [{"type": "keyboard"}, {"type": "mouse"}],
    }
)


@pytest.mark.needs("Xvfb", "xterm")
class TestLocalDesktop(RunnerConformance, HostFileCases):
    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(
            RUNNERS["local"],
            SPEC,
            lambda setup: open_runner("local", setup),
            _commands,
            kill=_kill_all,
            seeded=False,
        )
