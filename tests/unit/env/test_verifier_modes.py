"""Each verifier mode, at the end of a whole episode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gym_queue.errors import VerifierFailed
from tests.unit.env.conftest import Lab, events_of, finish, reset, step
from tests.unit.verifiers.modelserver import KEY, ModelServer

LIST = {"task_completion": [{"id": "done", "points": 100}], "integrity": [{"id": "fair"}]}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    made = ModelServer()
    yield made
    made.close()


def picture(lab: Lab, runner: str) -> None:
    """Keep the screen that an episode shows first as the task's target."""
    episode = lab.open(runner=runner)
    seen = reset(episode, seed=1)["observation"]["screen"]["png"]
    (lab.task_dir / "target.png").write_bytes(seen)
    episode.close()


@pytest.mark.parametrize("mode", ["image_match", "multi"])
def test_the_end_state_is_compared_with_a_picture(lab: Lab, mode: str) -> None:
    picture(lab, "fake")
    spec: dict[str, Any] = {"target": "target.png", "ssim_gt": 0.9999}
    if mode == "multi":
        (lab.task_dir / "verifier.py").write_text("def check(*_): return {'passed': None}")
        spec = {"program": "verifier.py::check", "image_match": spec}
    episode = lab.open(task={"success": {"mode": mode, "spec": spec}})
    reset(episode, seed=1)
    same = step(episode, mark_done=True)
    assert (same["reward"], same["info"]["verifier"]["ssim"]) == (1.0, 1.0)
    reset(episode, seed=2)
    other = step(episode, {"mouse": {"move": [1, 1]}}, mark_done=True)
    assert (other["reward"], other["info"]["verifier"]["passed"]) == (0.0, False)
    assert other["info"]["verifier"]["mode"] == mode
    json.dumps(other["info"], allow_nan=False)


def test_a_terminals_end_state_is_compared_with_a_picture(lab: Lab) -> None:
    env = {"observation": [{"type": "rgb_screen", "resolution": [320, 200]}]}
    episode = lab.open(env=env, runner="local", task={"init": {"reward_type": "continuous"},
                       "success": {"mode": "image_match", "spec": {"target": "target.png"}}})  # fmt: skip
    seen = reset(episode)["observation"]["screen"]["png"]
    (lab.task_dir / "target.png").write_bytes(seen)
    typed = step(episode, {"keyboard": {"text": "seq 1000 1099\n"}}, mark_done=True)
    assert typed["reward"] == pytest.approx(max(0, typed["info"]["verifier"]["ssim"]), abs=1e-4)
    assert not typed["info"]["verifier"]["passed"], typed


def test_a_missing_picture_is_an_error_and_no_reward(lab: Lab) -> None:
    episode = lab.open(task={"success": {"mode": "image_match", "spec": {"target": "target.png"}}})
    with pytest.raises(VerifierFailed, match=r"target 'target\.png'"):
        finish(episode)
    assert "reward" not in events_of(episode)[-1]


def test_a_model_judges_the_frames_of_an_episode(lab: Lab, server: ModelServer) -> None:
    verdicts = {
        "task_completion": [{"id": "done", "verdict": "partial"}],
        "integrity": [{"id": "fair", "verdict": "pass"}],
    }
    server.say("gemini", json.dumps(verdicts))
    episode = lab.open(
        task={"init": {"reward_type": "partial"}, "success": {"mode": "vlm_checklist", "spec": LIST}},
        verifier_env=server.variables("gemini"),
        lazy_frames=True,
    )
    reset(episode)
    step(episode, {"mouse": {"move": [1, 1]}})
    last = step(episode, {"mouse": {"move": [2, 2]}}, mark_done=True)
    assert (last["reward"], last["info"]["verifier"]["frames"]) == (50.0, 4)
    assert len(server.seen[0].body["contents"][0]["parts"]) == 5
    assert episode.episode_dir is not None
    for path in episode.episode_dir.iterdir():
        assert KEY.encode() not in path.read_bytes()


def test_the_create_call_may_have_another_verifier_judge(lab: Lab, server: ModelServer) -> None:
    (lab.task_dir / "vlm_checklist.json").write_text(json.dumps(LIST))
    server.say("local", '{"task_completion": [{"id": "done", "verdict": "pass"}],'
               ' "integrity": [{"id": "fair", "verdict": "pass"}]}')  # fmt: skip
    variables = server.variables("local", GYM_ANYTHING_VERIFIER_MODE="vlm_checklist")
    episode = lab.open(verifier="return {'passed': False}", verifier_env=variables)
    assert finish(episode)["reward"] == 1.0
    assert finish(lab.open(verifier="return {'passed': False}"))["info"]["verifier"]["mode"] == "program"


def test_a_model_that_answers_nonsense_gives_no_reward(lab: Lab, server: ModelServer) -> None:
    server.say("local", "Looks good!")
    success = {"mode": "vlm_checklist", "spec": LIST}
    episode = lab.open(task={"success": success}, verifier_env=server.variables("local"))
    with pytest.raises(VerifierFailed, match="answered no JSON object"):
        finish(episode)
    assert "reward" not in events_of(episode)[-1]
