from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gym_queue.errors import NotSupported, VerifierFailed
from gym_queue.verifiers import Verdict
from tests.unit.verifiers.conftest import Bench


def draw(path: Path, size: tuple[int, int] = (64, 48), *, patch: int = 0, mode: str = "RGB") -> Path:
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    pixels = np.stack([x * 4 % 256, y * 5 % 256, (x * y) % 256], -1).astype(np.uint8)
    pixels[:patch, :patch] = 255
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def match(bench: Bench, **spec: Any) -> Verdict:
    return bench.judge(success={"mode": "image_match", "spec": {"target": "target.png", **spec}})


@pytest.fixture
def pair(bench: Bench) -> Bench:
    draw(bench.task_dir / "target.png")
    draw(bench.episode_dir / "final.png")
    return bench


def test_the_same_picture_passes_even_where_1_is_asked(pair: Bench) -> None:
    verdict = match(pair, ssim_gt=1)
    assert verdict.to_info() == {
        "mode": "image_match",
        "passed": True,
        "score": 100.0,
        "feedback": "final.png is like target.png with an SSIM of 1.0000, of 1 asked",
        "ssim": 1.0,
    }


def test_another_picture_fails_with_its_likeness_as_score(pair: Bench) -> None:
    draw(pair.episode_dir / "final.png", patch=25)
    verdict = match(pair)
    assert not verdict.passed
    assert verdict.score == pytest.approx(100 * verdict.extras["ssim"], abs=0.01)
    assert 50 < verdict.score < 95
    assert match(pair, ssim_gt=0.5).passed
    assert match(pair, metric={"ssim_gt": 0.5}).passed


def test_a_negative_likeness_is_a_score_of_0(pair: Bench) -> None:
    pixels = np.asarray(Image.open(pair.task_dir / "target.png"))
    Image.fromarray(255 - pixels).save(pair.episode_dir / "final.png")
    verdict = match(pair)
    assert (verdict.passed, verdict.score) == (False, 0.0)
    assert verdict.extras["ssim"] < 0


@pytest.mark.parametrize("mode", ["RGBA", "P", "L"])
def test_any_kind_of_png_can_be_compared(pair: Bench, mode: str) -> None:
    for path in (pair.task_dir / "target.png", pair.episode_dir / "final.png"):
        draw(path, mode=mode)
    assert match(pair).passed


def test_another_file_of_the_episode_can_be_observed(pair: Bench) -> None:
    (pair.episode_dir / "final.png").rename(pair.episode_dir / "frame_00003.png")
    assert match(pair, observed="frame_00003.png").passed
    with pytest.raises(VerifierFailed, match=r"observed image .final\.png. of task t is no file"):
        match(pair)


@pytest.mark.parametrize(
    "spec",
    [
        {"target": None}, {"target": ""}, {"target": 3}, {"ssim_gt": "0.9"}, {"ssim_gt": float("nan")},
        {"ssim_gt": 2}, {"ssim_gt": True}, {"observed": ""}, {"metric": {"ssim_gt": "x"}},
    ],
)  # fmt: skip
def test_a_spec_that_is_not_valid_is_an_error(pair: Bench, spec: dict[str, Any]) -> None:
    with pytest.raises(VerifierFailed, match="image_match of task t is not valid"):
        match(pair, **spec)


def test_a_spec_without_a_target_is_an_error(bench: Bench) -> None:
    with pytest.raises(VerifierFailed, match="target: Field required"):
        bench.judge(success={"mode": "image_match"})


@pytest.mark.parametrize(
    "name", ["none.png", "..", "../episode/final.png", "/etc/hostname", "a\0b", "x" * 5000]
)
def test_a_target_is_a_file_of_the_task(pair: Bench, name: str) -> None:
    with pytest.raises(VerifierFailed, match="is no file in"):
        match(pair, target=name)


def test_a_link_that_leads_out_of_the_task_is_no_target(pair: Bench) -> None:
    (pair.task_dir / "link.png").symlink_to(pair.episode_dir / "final.png")
    with pytest.raises(VerifierFailed, match="is no file in"):
        match(pair, target="link.png")


def test_what_is_observed_lies_in_the_episodes_folder(pair: Bench) -> None:
    with pytest.raises(
        VerifierFailed, match=r"observed image .\.\./task/target\.png. of task t is no file in"
    ):
        match(pair, observed="../task/target.png")


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"<svg/>"])
def test_a_picture_that_cannot_be_read_is_an_error(pair: Bench, damage: Any) -> None:
    target = pair.task_dir / "target.png"
    target.write_bytes(damage(target.read_bytes()))
    with pytest.raises(VerifierFailed, match=r"target\.png cannot be read"):
        match(pair)


def test_two_sizes_are_an_error_that_names_both(pair: Bench) -> None:
    draw(pair.task_dir / "target.png", (48, 64))
    with pytest.raises(VerifierFailed, match="differ in size, 48x64 and 64x48"):
        match(pair)


def test_pictures_smaller_than_the_window_are_an_error(pair: Bench) -> None:
    for path in (pair.task_dir / "target.png", pair.episode_dir / "final.png"):
        draw(path, (64, 10))
    with pytest.raises(VerifierFailed, match="smaller than 11x11"):
        match(pair)


def test_a_picture_of_too_many_pixels_is_an_error(pair: Bench) -> None:
    Image.new("1", (8192, 4400)).save(pair.task_dir / "target.png")
    with pytest.raises(VerifierFailed, match="8192x4400 pixels, more than"):
        match(pair)


def test_the_mode_can_be_chosen_for_one_environment(pair: Bench) -> None:
    success = {"mode": "program", "spec": {"program": "none.py::check", "target": "target.png"}}
    for named in ("image_match", "IMAGE-MATCH"):
        verdict = pair.judge(success=success, variables={"GYM_ANYTHING_VERIFIER_MODE": named})
        assert (verdict.mode, verdict.passed) == ("image_match", True)
    for named in ("", "task", "auto"):
        with pytest.raises(VerifierFailed, match="no verifier file"):
            pair.judge(success=success, variables={"GYM_ANYTHING_VERIFIER_MODE": named})
    with pytest.raises(NotSupported, match="'ocr'"):
        pair.judge(success=success, variables={"GYM_ANYTHING_VERIFIER_MODE": "ocr"})


class TestMulti:
    """A program that may leave it to the picture."""

    def judge(self, bench: Bench, returned: str, **spec: Any) -> Verdict:
        (bench.task_dir / "verifier.py").write_text(f"def check(*_):\n    return {returned}\n")
        return bench.judge(success={"mode": "multi", "spec": {"program": "verifier.py::check", **spec}})

    @pytest.mark.parametrize("passed", [True, False])
    def test_a_program_that_decides_is_believed(self, pair: Bench, passed: bool) -> None:
        verdict = self.judge(
            pair, f"{{'passed': {passed}, 'score': 40}}", image_match={"target": "target.png"}
        )
        assert (verdict.mode, verdict.passed, verdict.score) == ("multi", passed, 40)
        assert verdict.extras["decided_by"] == "program"

    @pytest.mark.parametrize("returned", ["{'passed': None}", "{'decided': False, 'passed': False}"])
    def test_the_picture_decides_what_the_program_leaves_open(self, pair: Bench, returned: str) -> None:
        verdict = self.judge(pair, returned, image_match={"target": "target.png"})
        assert (verdict.mode, verdict.passed, verdict.extras["decided_by"]) == ("multi", True, "image_match")
        draw(pair.episode_dir / "final.png", patch=40)
        assert not self.judge(pair, returned, image_match={"target": "target.png"}).passed

    def test_the_format_may_nest_the_program(self, pair: Bench) -> None:
        assert self.judge(pair, "{'passed': True}", program={"program": "verifier.py::check"}).passed

    def test_what_all_leave_open_is_an_error(self, pair: Bench) -> None:
        with pytest.raises(VerifierFailed, match="left open whether it passed"):
            self.judge(pair, "{'passed': None}")

    @pytest.mark.parametrize("returned", ["None", "{}", "{'passed': 'no'}", "1 / 0"])
    def test_a_program_that_fails_leaves_nothing_to_the_picture(self, pair: Bench, returned: str) -> None:
        with pytest.raises(VerifierFailed):
            self.judge(pair, returned, image_match={"target": "target.png"})

    def test_a_task_without_a_program_is_an_error(self, pair: Bench) -> None:
        with pytest.raises(VerifierFailed, match="names no verifier"):
            pair.judge(success={"mode": "multi", "spec": {"image_match": {"target": "target.png"}}})
