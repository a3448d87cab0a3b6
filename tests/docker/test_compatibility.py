"""What the matrix says of the docker runner is what it does."""

from __future__ import annotations

import pytest

from gym_queue.errors import NotSupported
from gym_queue.protocol.actions import Action
from gym_queue.runners.compatibility import compatibility
from tests.docker.conftest import MakeRunner

ACTIONS = {
    "mouse": {"mouse": {"move": [1, 1]}},
    "keyboard": {"keyboard": {"text": "x"}},
    "voice": {"voice": {"pcm16_b64": ""}},
    "api_call": {"api_call": {"name": "x"}},
}


def test_a_container_observes_and_takes_what_the_matrix_says(make: MakeRunner, x11_image: str) -> None:
    (row,) = compatibility(["docker"])
    asked = [{"type": "rgb_screen", "resolution": [320, 200]}, {"type": "ui_tree"}, {"type": "cli_stdout"}]
    runner = make(image=x11_image, observation=asked)
    runner.start()
    seen = runner.observe()
    assert {"rgb_screen", "ui_tree", "audio_waveform"} == set(row.observations)
    assert (seen.png is not None, seen.ui_tree is not None, seen.cli_stdout) == (True, True, None)
    for name, action in ACTIONS.items():
        if name in row.actions:
            runner.check(Action.model_validate(action))
        else:
            with pytest.raises(NotSupported):
                runner.check(Action.model_validate(action))
