from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gym_queue.errors import RequestInvalid, RunnerUnavailable, SpecInvalid
from gym_queue.names import RUNNERS
from gym_queue.runners.base import RunnerSetup
from gym_queue.runners.fake import FakeRunner
from gym_queue.runners.registry import implemented_runners, open_runner
from gym_queue.specs.env import EnvSpec


def setup(work_dir: Path, **more: Any) -> RunnerSetup:
    raw = {"id": "fake", "observation": [{"type": "rgb_screen"}], "action": [{"type": "mouse"}], **more}
    return RunnerSetup("fake-env", EnvSpec.model_validate(raw), None, work_dir, 1)


def test_an_unknown_runner_is_a_wrong_request_that_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match=r"nosuch.*local.*docker"):
        open_runner("nosuch", setup(tmp_path))


def test_a_known_runner_that_is_not_built_is_unavailable(tmp_path: Path) -> None:
    missing = next(name for name in RUNNERS if name not in implemented_runners())
    with pytest.raises(RunnerUnavailable, match=missing):
        open_runner(missing, setup(tmp_path))


@pytest.mark.parametrize("size_bytes", [5_000, 200_000])
def test_a_fake_frame_has_roughly_the_asked_size(tmp_path: Path, size_bytes: int) -> None:
    runner = FakeRunner(setup(tmp_path, fake={"frame_bytes": size_bytes}))
    png = runner.observe().png
    assert png is not None
    assert size_bytes <= len(png) <= size_bytes * 1.1 + 20_000


@pytest.mark.parametrize("options", [{"frame_byte": 1}, {"step_delay_s": -1}, 3])
def test_wrong_options_of_the_fake_are_refused(tmp_path: Path, options: object) -> None:
    with pytest.raises(SpecInvalid, match="fake"):
        FakeRunner(setup(tmp_path, fake=options))
