from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_queue.runners.local.cell import RGB
from gym_queue.runners.local.screen import APP_CURSOR, BRACKETED_PASTE, MOUSE_CLICKS, MOUSE_MOVES
from tests.unit.runners.terminals import FedScreen


def test_the_alternate_screen_hides_the_main_one_and_gives_it_back_with_its_cursor():
    terminal = FedScreen().feed("main\x1b[?1049h\x1b[Halt")
    assert (terminal.text, terminal.screen.is_alternate) == ("alt", True)
    terminal.feed("\x1b[?1049l")
    assert (terminal.text, terminal.screen.cursor_at) == ("main", (4, 0))


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("\x1b[c", "\x1b[?62;22c"),
        ("\x1b[>c", "\x1b[>41;354;0c"),
        ("\x1b[5n", "\x1b[0n"),
        ("ab\x1b[6n", "\x1b[1;3R"),
        ("\x1b[?2004$p", "\x1b[?2004;2$y"),
        ("\x1b]11;?\x07", "\x1b]11;rgb:b\x1b\\"),
        ("\x1bP$q q\x1b\\", "\x1bP1$r2 q\x1b\\"),
        ("\x1b[18t", "\x1b[8;5;20t"),
    ],
)
def test_a_programs_question_is_answered(asked, answer):
    assert FedScreen().feed(asked).answers == [answer]


@pytest.mark.parametrize(
    "noise",
    [
        "\x1b[>4;2m",
        "\x1b[>1u",
        "\x1b[?u",
        "\x1b[=5;1u",
        "\x1b]10;#ff0000\x1b\\",
        "\x1b]0;a title\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x1bP+q436f\x1b\\",
        "\x1b_Gpayload\x1b\\",
        "\x1b[1 q",
        "\x1b(B",
        "\x1b=",
        "\x1b[38;5;999m",
        "\x1b[7K",
        "\x1b[9J",
        "\x1b[1;2;3;4;5H\x1b[H",
        "\x1b[?6h\x1b[d\x1b[6n\x1b[?6l",
        "\x1b[999999999999999999b",
    ],
)
def test_a_sequence_the_screen_does_not_know_prints_nothing(noise):
    assert FedScreen().feed(f"{noise}text").text == "text"


def test_sequences_and_characters_cut_between_reads_are_read_whole():
    data = "\x1b[31mré\x1b]0;title\x1b\\d\x1b[0m 漢".encode()
    terminal = FedScreen()
    for byte in data:
        terminal.feed(bytes([byte]))
    assert terminal.text == "réd 漢"
    assert terminal.screen.rows()[0][0].fg == 1


def test_invalid_utf8_shows_the_replacement_character():
    assert FedScreen().feed(b"a\xff\xfeb").text == "a\ufffd\ufffdb"


def test_a_string_sequence_without_end_is_dropped_and_does_not_grow():
    terminal = FedScreen().feed(b"\x1b]0;")
    for _ in range(20):
        terminal.feed(b"x" * 65536)
    assert terminal.feed(b"\x07after").text == "after"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_nothing_a_program_prints_raises(data):
    FedScreen().feed(data).screen.rows()


def test_no_mix_of_known_sequences_raises():
    dice = random.Random(3)
    terminal = FedScreen(7, 3)
    for _ in range(4000):
        numbers = ";".join(
            str(dice.choice([0, 1, 2, 3, 5, 6, 9, 47, 1049, 10000])) for _ in range(dice.randrange(4))
        )
        terminal.feed(
            f"\x1b[{dice.choice(['', '?', '>'])}{numbers}{dice.choice('@ABCDEFGHIJKLMPSTXZabcdfghlmnrsu`')}"
        )
        terminal.feed(
            dice.choice(["x", "漢", "\u0301", "\u200d", "\n", "\r", "\b", "\t", "\x1bM", "\x1b7", "\x1b8"])
        )
        assert all(len(row) == 7 for row in terminal.screen.rows())


def test_colours_of_all_three_kinds_are_kept():
    row = (
        FedScreen()
        .feed("\x1b[31;42ma\x1b[38;5;200mb\x1b[38;2;1;2;3mc\x1b[38:2::4:5:6;1md\x1b[0me")
        .screen.rows()[0]
    )
    assert [cell.fg for cell in row[:5]] == [1, 200, RGB | 0x010203, RGB | 0x040506, -1]
    assert (row[0].bg, row[3].bold, row[4].bold) == (2, True, False)


def test_erasing_uses_the_background_colour_alone():
    cell = FedScreen().feed("\x1b[4;7;44m\x1b[K").screen.rows()[0][5]
    assert (cell.data, cell.bg, cell.underscore, cell.reverse) == (" ", 4, False, False)


def test_a_wide_character_takes_two_cells_and_wraps_when_only_one_is_left():
    terminal = FedScreen(5, 3).feed("abcd漢x")
    assert terminal.text == "abcd\n漢x"
    assert terminal.screen.rows()[1][1].data == ""


def test_overwriting_half_of_a_wide_character_blanks_the_other_half():
    assert FedScreen().feed("漢\x1b[2Gx").text == " x"
    assert FedScreen().feed("漢\x1b[1Gx").text == "x"


def test_line_drawing_characters_of_the_vt100_set_are_translated():
    assert FedScreen().feed("\x1b(0lqk\x1b(Bl").text == "┌─┐l"


def test_repeat_draws_the_last_character_again():
    assert FedScreen().feed("ab\x1b[3b").text == "abbbb"


def test_history_scrolls_back_and_stays_while_output_goes_on():
    terminal = FedScreen(10, 3).feed("".join(f"{n}\r\n" for n in range(10)))
    terminal.screen.scroll_history(4)
    assert terminal.text == "4\n5\n6"
    assert terminal.feed("new\r\n").text == "4\n5\n6"
    terminal.screen.scroll_history(-1000)
    assert terminal.text == "9\nnew"


def test_modes_a_program_sets_are_seen_and_a_soft_reset_ends_them():
    screen = FedScreen().feed("\x1b[?1h\x1b[?1000h\x1b[?1003h\x1b[?2004h\x1b[?25l").screen
    assert {APP_CURSOR, MOUSE_CLICKS, BRACKETED_PASTE} <= screen.mode
    assert (screen.mouse_mode, screen.cursor_at) == (MOUSE_MOVES, None)
    screen.soft_reset()
    assert (screen.mouse_mode, screen.cursor_at) == (0, (0, 0))
