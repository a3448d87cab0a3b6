"""``gym-anything run -i``, by a person at a real terminal."""

from __future__ import annotations

import os
import signal

import pytest

from tests.acceptance.conftest import Place, fleet_at
from tests.acceptance.terminal import Terminal, on_terminal

COMMAND_KEY = "\x1d"
READY = "Ctrl-] for commands"
SOLUTION = (
    "find files -type f -exec wc -c {} \\; | sort -n | tail -n 1 | sed 's/^ *[0-9]* //' > largest.txt\r"
)
ENV = ("gym-anything", "run", "terminal_env", "--task", "largest_file", "-i")


@pytest.fixture
def environ(place: Place) -> dict[str, str]:
    return {**os.environ, **place.variables}


def prompt(terminal: Terminal) -> None:
    terminal.type(COMMAND_KEY)
    terminal.wait_for("gym-anything>")


def test_a_person_solves_a_task_looks_back_and_has_it_judged(place, environ):
    with on_terminal(place.command(*ENV), environ) as terminal:
        terminal.wait_for(f"terminal_env/largest_file: {READY}")
        terminal.type("sleep 60\r")
        terminal.wait_for("sleep 60")
        terminal.type("\x03")  # goes to the environment, and not to us
        terminal.type("echo seen-$((40+2))\r")
        terminal.wait_for("seen-42")
        terminal.type("\x1b[A\x1b[D\x1b[D3\r")  # up, left, left: 40+23
        terminal.wait_for("seen-63")
        terminal.type(SOLUTION + "echo rea''dy\r")
        terminal.wait_for("ready")
        picture = place.folder / "shot.png"
        prompt(terminal)
        terminal.type(f"screenshot {picture}\rtask\rnonsense\rmouse 5\rmouse 5 9999\r")
        terminal.wait_for("there is no command 'nonsense'")
        terminal.wait_for("write mouse X Y")
        terminal.wait_for("off the screen")
        assert "Find the largest file" in terminal.text()
        assert picture.read_bytes().startswith(b"\x89PNG")
        terminal.type("\r")
        terminal.wait_for("seen-63")  # back in the environment
        prompt(terminal)
        terminal.type("done\r")
        assert terminal.wait() == 0
        assert "verdict: passed, score 100" in terminal.text()
        assert terminal.modes == terminal.before
    place.wait_empty()


def test_what_is_not_solved_is_status_1_on_a_fleet_too(place, environ):
    with (
        fleet_at(place, workers=1) as fleet,
        on_terminal(place.command(*ENV, "--remote-url", fleet.url), environ, (60, 12)) as terminal,
    ):
        terminal.wait_for(READY)
        terminal.type("seq 30\r")
        terminal.wait_for("(cut: make")
        prompt(terminal)
        terminal.type("done\r")
        assert terminal.wait() == 1
        assert "verdict: not passed" in terminal.text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_is_given_back_when_the_program_is_ended(place, environ, number):
    with on_terminal(place.command(*ENV), environ) as terminal:
        terminal.wait_for(READY)
        assert terminal.modes != terminal.before
        terminal.process.send_signal(number)
        assert terminal.wait() == 130
        assert terminal.modes == terminal.before
        assert b"\x1b[?1049l" in terminal.seen
        assert b"\x1b[?25h" in terminal.seen
    place.wait_empty()


def test_ctrl_c_at_the_prompt_ends_it_and_leaves_nothing(place, environ):
    with on_terminal(place.command(*ENV), environ) as terminal:
        terminal.wait_for(READY)
        prompt(terminal)
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.text()
        assert terminal.modes == terminal.before
    place.wait_empty()


def test_without_a_terminal_it_is_one_sentence(place):
    ran = place.run(*ENV)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1
    assert "-i needs a terminal" in ran.stderr
