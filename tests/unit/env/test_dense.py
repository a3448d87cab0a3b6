from __future__ import annotations

import os
import textwrap
from typing import Any

import pytest

from gym_queue.env.episode import Episode, EpisodeState
from gym_queue.errors import EnvState, SpecInvalid, VerifierFailed
from gym_queue.runners.processes import find_processes
from gym_queue.verifiers import VerifierLimits
from tests.unit.env.conftest import Lab, events_of, files_of, finish, reset, step


def dense(lab: Lab, code: str, task: dict[str, Any] | None = None, **setup: Any) -> Episode:
    """Open a task whose rewards come from ``give`` in this code."""
    (lab.task_dir / "rewards.py").write_text(textwrap.dedent(code))
    init = {"reward_type": "dense", "reward_shaping": "rewards.py::give"}
    return lab.open(task={"init": init, **(task or {})}, **setup)


COUNTING = """
    calls = 0
    def give(traj, env_info, task_info):
        global calls
        calls += 1
        return calls + len(traj["steps"]) / 10
"""


def test_every_step_earns_what_the_function_returned_and_it_keeps_its_memory(lab: Lab) -> None:
    episode = dense(lab, COUNTING)
    reset(episode)
    assert [step(episode, {"mouse": {"move": [1, 1]}})["reward"] for _ in range(3)] == [1.1, 2.2, 3.3]
    reset(episode)
    assert step(episode)["reward"] == 1.1


def test_the_function_sees_the_step_its_screen_and_the_sandbox(lab: Lab) -> None:
    code = """
        import os
        def give(traj, env_info, task_info):
            last, frame = traj["steps"][-1], traj["last_frame"]
            assert last["event"] == "step" and last["ts"] > 0
            assert traj["step_frames"][last["idx"]] == frame == traj["frames"][-1]
            assert open(frame, "rb").read(4) == b"\\x89PNG"
            assert task_info["metadata"] == {"worth": 5} and os.environ["MINE"] == "given"
            env_info["exec_capture"]("echo seen >> log")
            lines = env_info["exec_capture"]("cat log").split()
            return {"reward": last["action"][0]["mouse"]["move"][0] * 100 + len(traj["frames"]) * 10 + len(lines)}
    """
    given = {"verifier_env": {"MINE": "given"}, "lazy_frames": True}
    episode = dense(lab, code, {"metadata": {"worth": 5}}, **given)
    reset(episode)
    rewards = [step(episode, {"mouse": {"move": [x, 1]}})["reward"] for x in (3, 4)]
    assert rewards == [321, 432]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives verifiers another user, who may need copies")
def test_new_screens_are_seen_where_the_function_sees_copies(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gym_queue.verifiers.folder.can_read_all", lambda: False)
    lab.work_dir.chmod(0o700)
    code = "def give(traj, *_): return len(open(traj['last_frame'], 'rb').read())"
    episode = dense(lab, code, lazy_frames=True)
    reset(episode)
    rewards = [step(episode, {"mouse": {"move": [1, 1]}})["reward"] for _ in range(2)]
    assert episode.episode_dir is not None
    frames = [episode.episode_dir / f"frame_{i:05d}.png" for i in (1, 2)]
    assert rewards == [frame.stat().st_size for frame in frames]


def test_a_step_without_a_screen_is_judged_without_one(lab: Lab) -> None:
    episode = dense(lab, "def give(traj, *_): return len(traj['frames'])")
    reset(episode)
    assert step(episode, capture_observation=False)["reward"] == 1
    assert step(episode)["reward"] == 2


def test_the_last_step_earns_its_own_reward_and_the_verdict_stands_beside_it(lab: Lab) -> None:
    (lab.task_dir / "verifier.py").write_text("def check(*_): return {'passed': False, 'score': 7}")
    success = {"spec": {"program": "verifier.py::check"}}
    last = finish(dense(lab, COUNTING, {"success": success}))
    assert (last["done"], last["reward"], last["info"]["verifier"]["score"]) == (True, 1.1, 7)


def test_nothing_runs_on_after_the_episode(lab: Lab) -> None:
    code = "import subprocess\nsubprocess.Popen(['sleep', '1000'])\n" + textwrap.dedent(COUNTING)
    episode = dense(lab, code)
    reset(episode)
    assert find_processes(lab.env_id) != []
    step(episode, mark_done=True)
    assert find_processes(lab.env_id) == []
    assert "reward_shaping.log" in files_of(episode)
    reset(episode)
    episode.close()
    assert lab.remains() == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no board')", "raised ValueError: no board"),
        ("return None", "returned None: it must return a finite number"),
        ("return float('nan')", "returned nan"),
        ("return -float('inf')", "returned -inf"),
        ("return 10**400", "it must return a finite number"),
        ("return True", "returned True"),
        ("return '1'", "returned '1'"),
        ("return {'score': 1}", "a dict with one under reward"),
        ("return {'reward': float('nan')}", "it must return a finite number"),
        ("import os; os._exit(3)", r"status 3"),
        ("return 'x' * (17 << 20)", "more than 16 MB"),
    ],
)
def test_a_function_that_fails_is_an_error_and_ends_the_episode(lab: Lab, body: str, reason: str) -> None:
    episode = dense(lab, f"def give(traj, env_info, task_info):\n    {body}\n")
    reset(episode)
    with pytest.raises(VerifierFailed, match=reason):
        step(episode)
    assert episode.state is EpisodeState.DONE
    assert find_processes(lab.env_id) == []
    assert events_of(episode)[-1]["error"]["code"] == "verifier_failed"
    with pytest.raises(EnvState, match="call reset first"):
        step(episode)
    reset(episode)


def test_a_function_that_hangs_is_killed_at_its_deadline(lab: Lab) -> None:
    code = "import time\ndef give(traj, *_):\n    time.sleep(1000 * (len(traj['steps']) > 1))\n    return 0\n"
    episode = dense(lab, code, verifier_limits=VerifierLimits(timeout_s=1.0))
    reset(episode)
    assert step(episode)["reward"] == 0
    with pytest.raises(VerifierFailed, match="ran longer than its 1 s and was killed"):
        step(episode)
    assert find_processes(lab.env_id) == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def other(): pass", "has no attribute 'give'"),
        ("def give(", "SyntaxError"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
    ],
)
def test_a_function_that_cannot_be_loaded_fails_the_reset(lab: Lab, code: str, reason: str) -> None:
    episode = dense(lab, code)
    with pytest.raises(VerifierFailed, match=reason):
        reset(episode)
    assert lab.remains() == []


@pytest.mark.parametrize("shaping", [None, "", "rewards.py", {}, {"program": 3}, ["rewards.py::give"], 1])
def test_dense_rewards_without_a_function_are_refused_at_open(lab: Lab, shaping: object) -> None:
    with pytest.raises(SpecInvalid, match=r"init\.reward_shaping must be"):
        lab.open(task={"init": {"reward_type": "dense", "reward_shaping": shaping}})


def test_the_function_may_be_named_in_an_object(lab: Lab) -> None:
    (lab.task_dir / "rewards.py").write_text("def give(*_): return 2")
    init = {"reward_type": "dense", "reward_shaping": {"program": "rewards.py::give"}}
    assert finish(lab.open(task={"init": init}))["reward"] == 2


def test_it_goes_on_after_a_state_was_loaded(lab: Lab) -> None:
    episode = dense(lab, "def give(traj, *_): return len(traj['steps'])")
    reset(episode)
    step(episode)
    saved = episode.save_state()
    assert step(episode)["reward"] == 2
    episode.load_state(saved)
    assert step(episode)["reward"] == 3
