from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers import Verdict
from gym_queue.verifiers.vlm.answer import find_object
from gym_queue.verifiers.vlm.checklist import ChecklistSettings, choose_frames
from tests.unit.verifiers.conftest import Bench
from tests.unit.verifiers.modelserver import BACKENDS, KEY, ModelServer, Reply

LIST: dict[str, Any] = {
    "task_id": "t",
    "task_completion": [
        {"id": "opened", "description": "the file is open", "points": 20, "visual_evidence": "its name"},
        {"id": "saved", "description": "the file is saved", "points": 80},
    ],
    "integrity": [
        {"id": "by_hand", "description": "no terminal"},
        {"id": "own_words", "description": "typed"},
    ],
    "privileged_info_for_vlm": "The file's name is {a.txt}.",
}


def answer(opened: str = "pass", saved: str = "pass", by_hand: str = "pass", own_words: str = "pass") -> str:
    return json.dumps(
        {
            "task_completion": [
                {"id": "opened", "verdict": opened, "confidence": 0.9, "evidence": "seen"},
                {"id": "saved", "verdict": saved, "evidence": None},
            ],
            "integrity": [{"id": "by_hand", "verdict": by_hand}, {"id": "own_words", "verdict": own_words}],
            "overall_reasoning": "It went well.",
        }
    )


@pytest.fixture
def frames(bench: Bench) -> list[str]:
    paths = [bench.episode_dir / f"frame_{i:05d}.png" for i in range(3)]
    for shade, path in enumerate(paths):
        Image.new("RGB", (64, 48), (shade, 0, 0)).save(path)
    return [str(path) for path in paths]


class Judging:
    """Checklists judged by the test's server."""

    def __init__(self, bench: Bench, server: ModelServer, frames: list[str]) -> None:
        self.bench, self.server, self.frames = bench, server, frames
        self.file = bench.task_dir / "vlm_checklist.json"
        self.file.write_text(json.dumps(LIST))

    def judge(
        self, said: str, *, backend: str = "openai", variables: dict[str, str] | None = None, **spec: Any
    ) -> Verdict:
        self.server.say(backend, said)
        return self.bench.judge(
            success={"mode": "vlm_checklist", "spec": spec},
            traj={"frames": self.frames},
            variables=self.server.variables(backend, **(variables or {})),
            description="Save the file.",
        )


@pytest.fixture
def judging(bench: Bench, server: ModelServer, frames: list[str]) -> Judging:
    return Judging(bench, server, frames)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_judges(judging: Judging, backend: str) -> None:
    verdict = judging.judge(answer(saved="partial"), backend=backend)
    assert (verdict.mode, verdict.passed, verdict.score) == ("vlm_checklist", False, 60.0)
    assert verdict.feedback == "It went well."
    assert verdict.extras == {
        "completion_score": 60.0,
        "integrity_rate": 1.0,
        "completion_threshold": 80.0,
        "integrity_threshold": 0.75,
        "items": [
            {"id": "opened", "verdict": "pass", "evidence": "seen"},
            {"id": "saved", "verdict": "partial", "evidence": ""},
            {"id": "by_hand", "verdict": "pass", "evidence": ""},
            {"id": "own_words", "verdict": "pass", "evidence": ""},
        ],
        "model": "m-1",
        "backend": backend,
        "frames": 3,
    }
    assert KEY not in repr(verdict)


@pytest.mark.parametrize(
    ("said", "spec", "passed", "score"),
    [
        (answer(), {}, True, 100),
        (answer("PASS ", "Pass"), {}, True, 100),
        (answer("fail"), {}, True, 80),
        (answer("fail"), {"completion_threshold": 80.5}, False, 80),
        (answer(by_hand="fail"), {}, False, 0),
        (answer(by_hand="fail"), {"integrity_threshold": 0.5}, True, 100),
        (answer("fail", "fail"), {"completion_threshold": 0}, True, 0),
        (f"Here it is:\n```json\n{answer()}\n```\nGood luck!", {}, True, 100),
        (f"I say {answer()}.", {}, True, 100),
    ],
)
def test_scores_and_thresholds(
    judging: Judging, said: str, spec: dict[str, Any], passed: bool, score: float
) -> None:
    verdict = judging.judge(said, **spec)
    assert (verdict.passed, verdict.score) == (passed, score)


def test_the_model_is_shown_the_frames_the_task_and_the_list(judging: Judging) -> None:
    judging.judge(answer())
    *images, text = judging.server.seen[0].body["messages"][0]["content"]
    assert len(images) == 3
    for part in ("Save the file.", "The file's name is {a.txt}.", '"saved"', '"points": 80', "no terminal"):
        assert part in text["text"]


def test_variables_come_before_the_tasks_spec(judging: Judging) -> None:
    prefix = "GYM_ANYTHING_VLM_CHECKLIST_"
    variables = {f"{prefix}COMPLETION_THRESHOLD": "90", f"{prefix}MODEL": "m-2", f"{prefix}MAX_FRAMES": "2"}
    verdict = judging.judge(answer("fail"), variables=variables, completion_threshold=10, max_frames=1)
    assert (verdict.passed, verdict.extras["model"], verdict.extras["frames"]) == (False, "m-2", 2)


def test_the_list_may_have_another_name_lie_in_the_spec_or_be_nested(judging: Judging) -> None:
    judging.file.rename(judging.file.with_name("other.json"))
    assert judging.judge(answer(), checklist="other.json").passed
    assert judging.judge(answer(), vlm_checklist="other.json").passed
    assert judging.judge(answer(), vlm_checklist=LIST).passed
    assert judging.judge(answer(), **LIST).passed
    with pytest.raises(VerifierFailed, match=r"checklist 'vlm_checklist\.json' of task t is no file"):
        judging.judge(answer())


def test_items_without_points_count_alike_and_weight_is_another_word_for_them(judging: Judging) -> None:
    only = json.dumps({"task_completion": json.loads(answer("fail"))["task_completion"]})
    assert judging.judge(only, items=[{"id": "opened"}, {"id": "saved"}]).score == 50
    items = [{"id": "opened", "weight": 3}, {"id": "saved", "weight": 1}]
    assert judging.judge(only, items=items).score == 25
    assert judging.judge(only, items=items).extras["integrity_rate"] == 1.0


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([], "at least 1 item"),
        ([{"id": "a", "points": 0}], "sum to 0"),
        ([{"id": "a", "points": -1}, {"id": "b", "points": 2}], "greater than or equal to 0"),
        ([{"id": "a", "points": "20"}], "valid number"),
        ([{"id": "a", "points": 1e300}], "less than or equal"),
        ([{"id": "a", "pionts": 20}], "pionts: Extra inputs"),
        ([{"id": "a"}, {"id": "a"}], "two items have one id"),
        ([{"description": "no id"}], "id: Field required"),
        ("all", "valid tuple"),
    ],
)
def test_a_list_that_is_not_valid_is_an_error_and_asks_nobody(
    judging: Judging, items: Any, reason: str
) -> None:
    with pytest.raises(VerifierFailed, match=f"the vlm_checklist of task t is not valid: .*{reason}"):
        judging.judge(answer(), task_completion=items)
    assert judging.server.seen == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"[" * 100_000, b"null"])
def test_a_list_that_cannot_be_read_is_an_error(judging: Judging, content: bytes) -> None:
    judging.file.write_bytes(content)
    with pytest.raises(VerifierFailed, match=r"vlm_checklist"):
        judging.judge(answer())
    assert judging.server.seen == []


@pytest.mark.parametrize(
    "spec",
    [
        {"completion_threshold": 101}, {"completion_threshold": "high"}, {"integrity_threshold": float("nan")},
        {"integrity_threshold": 2}, {"max_frames": -2}, {"frame_strategy": "best"}, {"max_tokens": 0},
    ],
)  # fmt: skip
def test_settings_that_are_not_valid_are_an_error(judging: Judging, spec: dict[str, Any]) -> None:
    with pytest.raises(VerifierFailed, match=f"not valid: {next(iter(spec))}"):
        judging.judge(answer(), **spec)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("It looks fine to me.", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ("{" * 10_000, "no JSON object"),
        ("{}", "task_completion: Field required"),
        (answer().replace("opened", "closed"), "judged"),
        (answer("mostly"), "verdict: Input should be"),
        (answer(by_hand="partial"), "is not partial"),
        (answer().replace('"pass"', "true"), "verdict: Input should be"),
        (answer().replace('"pass"', "NaN"), "no JSON object"),
        ('{"task_completion": [], "integrity": []}', "asked for the task_completion items"),
        (json.dumps({**json.loads(answer()), "integrity": []}), "asked for the integrity items"),
    ],
)
def test_an_answer_that_is_nonsense_neither_passes_nor_fails(
    judging: Judging, said: str, reason: str
) -> None:
    with pytest.raises(VerifierFailed, match=reason):
        judging.judge(said)


def test_items_judged_twice_are_nonsense(judging: Judging) -> None:
    twice = json.loads(answer())
    twice["task_completion"].append({"id": "saved", "verdict": "fail"})
    with pytest.raises(VerifierFailed, match="judged"):
        judging.judge(json.dumps(twice))


def test_a_model_that_cannot_be_asked_neither_passes_nor_fails(judging: Judging) -> None:
    judging.server.answer = lambda _: Reply({"error": {"message": "no credit"}}, 402)
    with pytest.raises(VerifierFailed, match="402: no credit"):
        judging.bench.judge(
            success={"mode": "vlm_checklist", "spec": LIST},
            traj={"frames": judging.frames},
            variables=judging.server.variables("openai"),
        )


def test_a_judge_without_a_model_is_one_sentence(judging: Judging) -> None:
    with pytest.raises(VerifierFailed, match="set VLM_BACKEND and VLM_MODEL in verifier_env") as caught:
        judging.bench.judge(success={"mode": "vlm_checklist"}, traj={"frames": judging.frames})
    assert "\n" not in str(caught.value)


def test_an_episode_without_screens_cannot_be_judged_by_them(judging: Judging) -> None:
    judging.frames.clear()
    with pytest.raises(VerifierFailed, match="add the observation rgb_screen"):
        judging.judge(answer())


def test_a_frame_that_cannot_be_read_is_an_error(judging: Judging) -> None:
    Path(judging.frames[1]).write_bytes(b"half")
    with pytest.raises(VerifierFailed, match=r"frame_00001\.png cannot be read"):
        judging.judge(answer())


def test_the_checklist_decides_what_a_multis_program_leaves_open(judging: Judging) -> None:
    (judging.bench.task_dir / "verifier.py").write_text("def check(*_): return {'passed': None}")
    judging.server.say("openai", answer())
    verdict = judging.bench.judge(
        success={"mode": "multi", "spec": {"program": "verifier.py::check", "vlm_checklist": LIST}},
        traj={"frames": judging.frames},
        variables=judging.server.variables("openai"),
    )
    assert (verdict.passed, verdict.extras["decided_by"]) == (True, "vlm_checklist")


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"max_frames": 3}, "0 10 final"),
        ({"max_frames": 1}, "final"),
        ({"max_frames": -1, "frame_strategy": "all"}, " ".join([*map(str, range(20)), "final"])),
        ({"frame_strategy": "legacy_every_third"}, "0 1 2 3 6 9 12 15 18 19 final"),
    ],
)
def test_frames_are_sampled_in_their_order(settings: dict[str, Any], chosen: str) -> None:
    traj = {"frames": [str(i) for i in range(20)], "final_screenshot": "final"}
    assert choose_frames(traj, ChecklistSettings(**settings)) == chosen.split()


@pytest.mark.parametrize("text", ["", "no", "}{", "{'a': 1}", '{"a": Infinity}', '"{}"'])
def test_what_holds_no_object_is_none(text: str) -> None:
    assert find_object(text) in (None, {})
