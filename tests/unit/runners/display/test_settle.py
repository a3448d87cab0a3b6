"""The rule of settle.py, played with changes at given times."""

from __future__ import annotations

import numpy as np
import pytest

from gym_queue.runners.display.settle import TILE_PX, Stillness, Tile, changed_tiles

SETTLE_S = 0.1
CURSOR: set[Tile] = {(3, 4)}
WINDOW = {(row, column) for row in range(5) for column in range(5)}


def settle(rule: Stillness, changes: list[tuple[float, set[Tile]]], *, max_s: float = 2.0) -> float:
    """Return how long a wait takes in which these changes come, at seconds from its start."""
    rule.start(0.0)
    for when, tiles in changes:
        if when >= min(rule.still_at(SETTLE_S), max_s):
            break
        rule.changed(tiles, when)
    return min(rule.still_at(SETTLE_S), max_s)


def every(period_s: float, tiles: set[Tile], *, until_s: float = 3.0) -> list[tuple[float, set[Tile]]]:
    return [(period_s * (number + 1), tiles) for number in range(int(until_s / period_s))]


def test_a_screen_on_which_nothing_happens_is_still_after_settle_s() -> None:
    assert settle(Stillness(), []) == SETTLE_S


def test_a_change_within_settle_s_is_waited_for_to_its_end() -> None:
    assert settle(Stillness(), [(0.09, WINDOW), (0.18, CURSOR)]) == 0.18 + SETTLE_S


def test_a_video_costs_the_maximum() -> None:
    assert settle(Stillness(), every(0.04, WINDOW)) == 2.0


def test_a_spinner_costs_four_turns_the_first_time_and_nothing_later() -> None:
    rule = Stillness()
    assert settle(rule, every(0.06, CURSOR)) == pytest.approx(4 * 0.06 + SETTLE_S)
    assert settle(rule, every(0.06, CURSOR)) == SETTLE_S


def test_tiny_changes_at_uneven_times_are_waited_for() -> None:
    times = (0.01, 0.02, 0.1, 0.11, 0.19, 0.2, 0.28)
    assert settle(Stillness(), [(when, CURSOR) for when in times]) == 0.28 + SETTLE_S


def test_what_changes_twice_while_nothing_is_done_is_not_waited_for() -> None:
    rule = Stillness()
    rule.idle(CURSOR)
    assert settle(rule, [(0.05, CURSOR)]) == 0.05 + SETTLE_S
    rule.idle(CURSOR)
    assert settle(rule, [(0.05, CURSOR)]) == SETTLE_S


def test_a_real_change_beside_a_blinking_cursor_is_waited_for() -> None:
    rule = Stillness()
    rule.idle(CURSOR)
    rule.idle(CURSOR)
    assert settle(rule, [(0.05, CURSOR | {(9, 9)})]) == 0.05 + SETTLE_S


def test_clicks_that_each_change_the_same_small_box_are_all_waited_for() -> None:
    rule = Stillness()
    assert [settle(rule, [(0.05, CURSOR)]) for _ in range(10)] == [0.05 + SETTLE_S] * 10


def test_a_large_change_makes_a_restless_part_ordinary_again() -> None:
    rule = Stillness()
    rule.idle({(0, 0)})
    rule.idle({(0, 0)})
    settle(rule, [(0.05, WINDOW)])
    assert not rule.restless


def test_a_large_change_while_nothing_is_done_is_not_a_clock() -> None:
    rule = Stillness()
    rule.idle(WINDOW)
    rule.idle(WINDOW)
    assert not rule.restless


def test_changed_pixels_are_found_in_their_tiles() -> None:
    before = np.zeros((70, 100, 4), np.uint8)
    after = before.copy()
    after[0, 0, 0] = after[TILE_PX, TILE_PX * 2, 1] = after[69, 99, 2] = 1
    assert changed_tiles(before, after) == {(0, 0), (1, 2), (2, 3)}
    assert changed_tiles(before, before) == set()
