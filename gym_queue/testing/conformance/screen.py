"""What the agent sees, and what it does with mouse and keyboard."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from gym_queue.errors import ActionInvalid
from gym_queue.protocol.actions import parse_actions
from gym_queue.runners.base import Runner
from gym_queue.testing.conformance.subject import Cases, Start, Subject, act, output_of

TYPED = "plain UPPER ~`!@#%^&*()_+-={}[]|:;<>,.?/ äöüß éèê ñ ø Ж я 漢字 かな 한 € ∑ → 😀"
RETURN: dict[str, object] = {"keyboard": {"keys": ["enter"]}}


class ScreenCases(Cases):
    """act, settle, observe."""

    def test_a_screenshot_is_a_png_of_the_specs_resolution(self, runner: Runner, subject: Subject) -> None:
        seen = runner.observe()
        image = Image.open(io.BytesIO(seen.png or b""))
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", seen.resolution)
        assert seen.resolution == subject.spec.resolution

    def test_the_screenshot_after_an_action_is_a_new_one(self, runner: Runner) -> None:
        before = runner.observe().png
        act(runner, {"keyboard": {"text": "x"}})
        assert runner.observe().png != before

    def test_what_changed_without_an_action_is_seen_in_the_next_observation(
        self, runner: Runner, subject: Subject
    ) -> None:
        if not subject.shell:
            pytest.skip("nothing draws on this runner's screen but actions")
        act(
            runner,
            {"keyboard": {"text": "until [ -e go ]; do sleep 0.05; done; clear; echo changed; touch went\n"}},
        )
        before = runner.observe().png
        output_of(runner, "touch go; until [ -e went ]; do sleep 0.05; done")
        runner.settle(max_s=10)
        assert runner.observe().png != before

    def test_mouse_and_keyboard_actions_are_taken(self, runner: Runner) -> None:
        act(
            runner,
            {"mouse": {"move": [20, 20]}},
            {"mouse": {"left_click": [10, 10]}},
            {"mouse": {"left_click_drag": [[10, 10], [200, 100]]}},
            {"mouse": {"scroll": 3}},
            {"mouse": {"scroll": -3}},
            {"keyboard": {"keys": "esc"}},
            {"keyboard": {"keys": ["ctrl", "l"]}},
        )

    def test_a_key_that_does_not_exist_is_refused_before_anything_is_injected(
        self, runner: Runner, subject: Subject
    ) -> None:
        if not subject.shell:
            pytest.skip("this runner takes every key")
        action = parse_actions([{"keyboard": {"text": "x", "keys": ["ctrl", "no-such-key"]}}])[0]
        before = runner.observe().png
        with pytest.raises(ActionInvalid, match="no-such-key"):
            runner.check(action)
        with pytest.raises(ActionInvalid, match="no-such-key"):
            runner.act(action)
        runner.settle(max_s=10)
        assert runner.observe().png == before

    def test_text_of_any_script_arrives_as_typed(self, runner: Runner, subject: Subject) -> None:
        _need_shell(subject)
        act(runner, {"keyboard": {"text": "cat > typed\n"}})
        act(
            runner, {"keyboard": {"text": f"{TYPED}\n{TYPED[::-1]}\n"}}, {"keyboard": {"keys": ["ctrl", "d"]}}
        )
        assert output_of(runner, "cat typed") == f"{TYPED}\n{TYPED[::-1]}\n"

    def test_two_hundred_characters_typed_at_once_all_arrive(self, runner: Runner, subject: Subject) -> None:
        _need_shell(subject)
        text = "The quick brown fox jumps over the lazy dog. " * 5
        act(runner, {"keyboard": {"text": "cat > typed\n"}})
        act(runner, {"keyboard": {"text": f"{text[:200]}\n"}}, {"keyboard": {"keys": ["ctrl", "d"]}})
        output_of(runner, "until [ -e typed ] && [ $(wc -c < typed) -gt 200 ]; do sleep 0.05; done")
        assert output_of(runner, "cat typed") == f"{text[:200]}\n"

    def test_modifiers_are_released_after_a_chord(self, runner: Runner, subject: Subject) -> None:
        _need_shell(subject)
        act(runner, {"keyboard": {"text": "wrong"}}, {"keyboard": {"keys": ["ctrl", "u"]}})
        act(runner, {"keyboard": {"text": "touch small"}}, RETURN)
        act(runner, {"keyboard": {"keys": ["shift", "t"]}}, {"keyboard": {"keys": ["ctrl", "shift", "u"]}})
        act(runner, {"keyboard": {"keys": ["ctrl", "u"]}}, {"keyboard": {"text": "touch after"}}, RETURN)
        assert output_of(runner, "until [ -e after ]; do sleep 0.05; done; ls") == "after\nsmall\n"

    def test_one_seed_and_script_give_the_same_screens(self, start: Start, subject: Subject) -> None:
        if not subject.seeded:
            pytest.skip("a seed reaches what runs inside as GYM_SEED alone")
        frames = []
        for seed in (5, 5, 6):
            runner = start(seed)
            act(runner, {"keyboard": {"text": "echo $RANDOM\n"}})
            frames.append(runner.observe())
        assert frames[0] == frames[1]
        assert frames[0].png != frames[2].png


def _need_shell(subject: Subject) -> None:
    if not subject.shell:
        pytest.skip("what is typed goes nowhere in this runner")
