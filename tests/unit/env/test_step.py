from __future__ import annotations

import json
from typing import Any

import pytest

from gym_queue.env.episode import EpisodeState
from gym_queue.errors import (
    ActionInvalid,
    EnvState,
    Forbidden,
    HookFailed,
    NotSupported,
    PathNotFound,
    VerifierFailed,
)
from gym_queue.protocol.sessions import EpisodeLimits
from tests.unit.env.conftest import Lab, events_of, files_of, finish, reset, step

CLICK: dict[str, Any] = {"mouse": {"left_click": [1, 2]}}
PASS = "return {'passed': True, 'score': 40, 'feedback': 'fine'}"
FAIL = "return {'passed': False, 'score': 40}"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_step_before_reset_is_refused(lab: Lab) -> None:
    with pytest.raises(EnvState, match="reset first"):
        step(lab.open(), CLICK)


def test_a_step_after_done_is_refused(lab: Lab) -> None:
    episode = lab.open()
    finish(episode)
    assert episode.state is EpisodeState.DONE
    with pytest.raises(EnvState, match="done"):
        step(episode, CLICK)


def test_a_step_returns_its_index_and_what_the_last_action_was(lab: Lab) -> None:
    episode = lab.open()
    reset(episode)
    first = step(episode, CLICK)
    second = step(episode, CLICK, {"action": "screenshot"})
    assert first["info"] == {"step": 0, "action_result": {"action": "other", "output": None}}
    assert second["info"]["action_result"]["action"] == "screenshot"
    assert (first["reward"], first["done"], second["info"]["step"]) == (0.0, False, 1)


def test_a_step_without_actions_has_no_action_result(lab: Lab) -> None:
    episode = lab.open()
    reset(episode)
    assert step(episode)["info"] == {"step": 0}


def test_actions_change_the_screen_and_looking_does_not(lab: Lab) -> None:
    episode = lab.open()
    before = reset(episode)["observation"]["screen"]["png"]
    assert episode.capture_observation()["screen"]["png"] == before
    assert step(episode, {"action": "screenshot"})["observation"]["screen"]["png"] == before
    assert step(episode, CLICK)["observation"]["screen"]["png"] != before


def test_a_device_beside_a_control_action_is_used(lab: Lab) -> None:
    episode = lab.open()
    before = reset(episode)["observation"]["screen"]["png"]
    after = step(episode, {**CLICK, "action": "wait", "time": 0})["observation"]["screen"]["png"]
    assert after != before


@pytest.mark.parametrize("bad", [{"mouse": {"jump": 1}}, {"mouse": {"left_click": [64, 0]}}, {"nose": 1}])
def test_an_invalid_action_leaves_nothing_injected(lab: Lab, bad: dict) -> None:
    episode = lab.open()
    before = reset(episode)["observation"]["screen"]["png"]
    with pytest.raises(ActionInvalid):
        step(episode, CLICK, bad)
    assert episode.capture_observation()["screen"]["png"] == before
    assert step(episode)["info"]["step"] == 0


def test_no_observation_is_taken_when_none_is_asked_for(lab: Lab) -> None:
    episode = lab.open()
    reset(episode)
    assert step(episode, CLICK, capture_observation=False)["observation"] == {}
    step(episode, CLICK)
    assert files_of(episode) == {"frame_00000.png", "frame_00002.png", "traj.jsonl"}


def test_max_steps_ends_the_episode(lab: Lab) -> None:
    episode = lab.open(task={"init": {"max_steps": 2}})
    reset(episode)
    assert step(episode, CLICK)["done"] is False
    last = step(episode, CLICK)
    assert (last["done"], last["info"]["reason"]) == (True, "max_steps")


def test_the_time_limit_ends_the_episode(lab: Lab) -> None:
    clock = Clock()
    episode = lab.open(task={"init": {"timeout_sec": 60}}, clock=clock)
    reset(episode)
    clock.now_s += 59
    assert step(episode, CLICK)["done"] is False
    clock.now_s += 1
    last = step(episode, CLICK)
    assert (last["done"], last["info"]["reason"]) == (True, "timeout")


def test_mark_done_names_its_reason_first(lab: Lab) -> None:
    episode = lab.open(task={"init": {"max_steps": 1}})
    assert finish(episode)["info"]["reason"] == "Agent Completed"


def test_limits_can_be_changed_one_at_a_time(lab: Lab) -> None:
    episode = lab.open(task={"init": {"timeout_sec": 60}})
    reset(episode)
    assert episode.set_limits(EpisodeLimits(max_steps=1)).timeout_sec == 60
    assert step(episode)["info"]["reason"] == "max_steps"


def test_an_env_without_a_task_ends_without_a_verdict(lab: Lab) -> None:
    reply = finish(lab.open())
    assert (reply["reward"], reply["info"]["verifier"]) == (0.0, None)


def test_a_task_without_success_ends_without_a_verdict(lab: Lab) -> None:
    reply = finish(lab.open(task={}))
    assert (reply["reward"], reply["info"]["verifier"]) == (0.0, None)


@pytest.mark.parametrize(
    ("reward_type", "verifier", "expected"),
    [
        ("sparse", PASS, 1.0),
        ("sparse", FAIL, 0.0),
        ("partial", FAIL, 40.0),
        ("rubric", PASS, 40.0),
        ("continuous", FAIL, 0.4),
    ],
)
def test_the_reward_follows_the_reward_type(
    lab: Lab, reward_type: str, verifier: str, expected: float
) -> None:
    reply = finish(lab.open(task={"init": {"reward_type": reward_type}}, verifier=verifier))
    assert reply["reward"] == expected


def test_a_judged_episode_leaves_its_files(lab: Lab) -> None:
    episode = lab.open(verifier=PASS)
    reply = finish(episode)
    verdict = {"mode": "program", "passed": True, "score": 40.0, "feedback": "fine"}
    assert reply["info"]["verifier"] == verdict
    assert {"frame_00000.png", "frame_00001.png", "final.png", "post_verification.png"} <= files_of(episode)
    assert episode.episode_dir is not None
    summary = json.loads((episode.episode_dir / "summary.json").read_text())
    assert summary.items() >= {"steps": 1, "reason": "Agent Completed", "reward": 1.0}.items()
    assert summary["verifier"] == verdict


def test_the_trajectory_tells_the_episode(lab: Lab) -> None:
    episode = lab.open(verifier=PASS)
    reset(episode, seed=3)
    step(episode, CLICK, trajectory_metadata={"thought": "here"})
    episode.trajectory_event({"event": "note", "text": "x"})
    step(episode, mark_done=True)
    events = events_of(episode)
    names = [event["event"] for event in events]
    assert names == ["reset", "session", "step", "note", "step", "finalize"]
    assert events[0]["seed"] == 3
    assert events[1]["session"]["env_id"] == lab.env_id
    assert (events[2]["idx"], events[2]["action"]) == (0, [CLICK])
    assert events[2]["metadata"] == {"thought": "here"}
    assert (events[4]["idx"], events[5]["reward"]) == (1, 1.0)
    assert all(event["ts"] > 0 for event in events)


def test_text_that_looks_like_line_ends_survives_the_trajectory(lab: Lab) -> None:
    episode = lab.open(
        verifier="return {'passed': traj['steps'][0]['action'][0]['keyboard']['text'] == 'a\\u2028\\x85b'}"
    )
    reset(episode)
    step(episode, {"keyboard": {"text": "a\u2028\x85b"}})
    assert step(episode, mark_done=True)["reward"] == 1.0


def test_a_lone_surrogate_in_a_callers_event_does_not_break_the_trajectory(lab: Lab) -> None:
    episode = lab.open(verifier=PASS)
    reset(episode)
    episode.trajectory_event({"event": "note", "text": "\ud800"})
    assert step(episode, mark_done=True)["reward"] == 1.0
    assert events_of(episode)[2]["text"] == "\ud800"


def test_a_callers_event_cannot_break_the_judging(lab: Lab) -> None:
    episode = lab.open(verifier=PASS)
    reset(episode)
    episode.trajectory_event({"event": "step"})
    episode.trajectory_event({"event": "step", "idx": "first"})
    assert episode.episode_dir is not None
    (episode.episode_dir / "frame_of_mine.png").touch()
    assert step(episode, mark_done=True)["reward"] == 1.0


def test_the_verifier_sees_frames_by_step(lab: Lab) -> None:
    told = """return {
        'passed': True, 'frames': traj['frames'], 'by_step': traj['step_frames'],
        'final': traj['final_screenshot'], 'first': traj['first_frame'], 'last': traj['last_frame'],
    }"""
    episode = lab.open(verifier=told)
    reset(episode)
    step(episode, CLICK, capture_observation=False)
    step(episode, CLICK)
    seen = step(episode, mark_done=True)["info"]["verifier"]
    folder = episode.episode_dir
    assert folder is not None
    assert seen["frames"] == [str(folder / f"frame_0000{i}.png") for i in (0, 2, 3)]
    assert seen["by_step"] == {"1": str(folder / "frame_00002.png"), "2": str(folder / "frame_00003.png")}
    assert (seen["first"], seen["last"]) == (seen["frames"][0], seen["frames"][-1])
    assert seen["final"] == str(folder / "final.png")


def test_post_task_runs_before_the_verifier(lab: Lab) -> None:
    told = "return {'passed': env_info['exec_capture']('cat result') == 'made'}"
    episode = lab.open(task={"hooks": {"post_task": "printf made >result"}}, verifier=told)
    assert finish(episode)["reward"] == 1.0


def test_a_failed_post_task_hook_is_an_error_not_a_reward(lab: Lab) -> None:
    episode = lab.open(task={"hooks": {"post_task": "exit 9"}}, verifier=PASS)
    with pytest.raises(HookFailed, match="post_task exited with status 9"):
        finish(episode)
    assert episode.state is EpisodeState.DONE


def test_a_broken_verifier_is_an_error_not_a_reward(lab: Lab) -> None:
    episode = lab.open(verifier="raise ValueError('no such table')")
    with pytest.raises(VerifierFailed, match="ValueError: no such table"):
        finish(episode)


def test_capture_observation_keeps_no_frame(lab: Lab) -> None:
    episode = lab.open()
    reset(episode)
    seen = episode.capture_observation()["screen"]
    assert seen["path"].endswith("observation.png")
    step(episode)
    assert files_of(episode) == {"frame_00000.png", "frame_00001.png", "observation.png", "traj.jsonl"}


def test_each_modality_of_the_spec_is_observed(lab: Lab) -> None:
    reply = reset(lab.open(env={"observation": [{"type": "cli_stdout"}]}))
    assert reply["observation"] == {"cli_stdout": {"text": "0 actions"}}


def test_files_go_in_and_out(lab: Lab) -> None:
    episode = lab.open()
    reset(episode)
    given, got = lab.work_dir / "given", lab.work_dir / "deep/got"
    given.write_bytes(b"\0data")
    episode.copy_to_env(given, "inside/it")
    episode.copy_from_env("inside/it", got)
    assert got.read_bytes() == b"\0data"


def test_copies_say_what_is_wrong(lab: Lab) -> None:
    episode = lab.open()
    reset(episode)
    with pytest.raises(PathNotFound):
        episode.copy_from_env("nothing", lab.work_dir / "x")
    with pytest.raises(Forbidden):
        episode.copy_from_env("/etc/passwd", lab.work_dir / "x")


def test_the_local_runner_plays_an_episode(lab: Lab) -> None:
    told = "return {'passed': env_info['exec_capture']('cat made') == 'hello\\n'}"
    episode = lab.open(runner="local", env={"observation": [{"type": "cli_stdout"}]}, verifier=told)
    reset(episode)
    seen = step(episode, {"keyboard": {"text": "echo hello > made; cat made\n"}})["observation"]
    assert "hello" in seen["cli_stdout"]["text"].splitlines()
    assert step(episode, mark_done=True)["reward"] == 1.0


def test_a_broken_verifier_is_written_down_as_such(lab: Lab) -> None:
    episode = lab.open(verifier="raise ValueError('no such table')")
    with pytest.raises(VerifierFailed):
        finish(episode)
    last = events_of(episode)[-1]
    assert (last["event"], last["error"]["code"]) == ("finalize", "verifier_failed")
    assert episode.episode_dir is not None
    assert "reward" not in json.loads((episode.episode_dir / "summary.json").read_text())


@pytest.mark.parametrize("bad", [{"keyboard": {"keys": "nonsense"}}, {"api_call": {"name": "x"}}])
def test_what_a_terminal_cannot_take_leaves_nothing_injected(lab: Lab, bad: dict) -> None:
    episode = lab.open(runner="local", env={"observation": [{"type": "cli_stdout"}]})
    before = reset(episode)["observation"]
    with pytest.raises((ActionInvalid, NotSupported)):
        step(episode, {"keyboard": {"text": "seen"}}, bad)
    assert episode.capture_observation() == before
