from __future__ import annotations

from gym_queue.runners.display.keyboard import Keymap, Stroke
from gym_queue.runners.display.keysyms import SECOND_GROUP, SHIFT, of_character

A, CAPITAL_A, E_ACUTE, CYRILLIC = 0x61, 0x41, 0xE9, of_character("ж")
KEYS = {
    10: (A, CAPITAL_A, A, CAPITAL_A),
    11: (SHIFT,) * 4,
    12: (SECOND_GROUP,) * 4,
    13: (0, 0, 0, 0),
    14: (0, 0, 0, 0),
}


def test_a_character_of_the_keymap_is_typed_by_its_key_with_shift_where_needed() -> None:
    keymap = Keymap(KEYS)
    assert keymap.find(A) == Stroke(10, 0)
    assert keymap.find(CAPITAL_A) == Stroke(10, 1)
    assert keymap.find(E_ACUTE) is None


def test_missing_characters_go_to_free_keys_four_a_key() -> None:
    missing = [of_character(each) for each in "жщюяы"]
    plan = Keymap(KEYS).plan([A, *missing, missing[0]])
    assert plan == {13: tuple(missing[:4]), 14: (missing[4],) * 4}


def test_without_a_mode_switch_key_only_the_two_levels_of_shift_are_used() -> None:
    keys = {keycode: levels for keycode, levels in KEYS.items() if keycode != 12}
    missing = [of_character(each) for each in "жщю"]
    keymap = Keymap(keys)
    assert list(keymap.plan(missing)) == [13, 14]
    assert keymap.count_fitting([*missing, *map(of_character, "яы")]) == 4


def test_a_key_that_gives_a_character_of_the_text_is_not_given_another() -> None:
    keymap = Keymap(KEYS | {13: (CYRILLIC,) * 4}, borrowed=(13,))
    assert list(keymap.plan([CYRILLIC, E_ACUTE])) == [14]
    assert keymap.find(CYRILLIC) == Stroke(13, 0)


def test_the_key_unused_for_longest_is_given_away_first() -> None:
    keymap = Keymap(KEYS | {13: (CYRILLIC,) * 4, 14: (0xE8,) * 4}, borrowed=(14, 13))
    assert list(keymap.plan([E_ACUTE])) == [14]


def test_more_characters_than_keys_are_typed_in_parts() -> None:
    text = [of_character(chr(code)) for code in range(0x4E00, 0x4E00 + 20)]
    keymap = Keymap(KEYS)
    assert keymap.count_fitting(text) == 8
    assert keymap.count_fitting([A] * 500) == 500
    assert Keymap({10: KEYS[10]}).count_fitting(text) == 0
