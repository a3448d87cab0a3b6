"""``gym-anything run -i``: a live environment in the terminal, or a prompt beside one that is watched elsewhere."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live as Screen
from rich.text import Text

from gym_queue.cli.commands import Live, run_line
from gym_queue.cli.common import FAILED
from gym_queue.cli.keyboard import KeyAction, KeyReader
from gym_queue.cli.rawterminal import hang_up_interrupts, raw_keys, read_keys
from gym_queue.errors import Conflict, GymQueueError, RequestInvalid

COMMAND_KEY = ["ctrl", "]"]
PROMPT = "gym-anything> "
FIRST_LOOK_S, LONGEST_LOOK_S, SLOWER = 0.03, 0.5, 1.6
"""Pauses between looks: short after a key, longer while nothing happens."""
TASK_LINES = 3
ESCAPE_S = 0.05
"""A key's sequence comes at once: an Escape that nothing follows for so long is the Escape key."""


def check_terminal(console: Console) -> None:
    """See that a person is there.

    Raises:
        RequestInvalid: Input or output is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or console.is_dumb_terminal:
        raise RequestInvalid(
            "-i needs a terminal for keys and screen: start it in one, or leave -i out and give --action"
        )


def interact(live: Live, console: Console, *, open_viewer: bool = False) -> int:
    """Let somebody work with an environment until they end it.

    Args:
        live: Not reset yet.
        console: The terminal, see ``check_terminal``.
        open_viewer: Show the screen of a desktop in another program.

    Returns:
        The exit status: 1 when the episode was judged and did not pass, else 0.

    Raises:
        GymQueueError: The environment cannot be set up, or is gone.
        KeyboardInterrupt: Ctrl-C at the prompt, or the terminal went away.
    """
    with hang_up_interrupts():
        live.begin()
        if "cli_stdout" in live.observation:
            _Terminal(live, console).run()
        else:
            _greet(live, open_viewer=open_viewer)
            while not live.has_ended:
                _prompt(live)
    return _conclude(live)


def _greet(live: Live, *, open_viewer: bool) -> None:
    if live.env.task_description:
        live.say(f"task: {live.env.task_description}")
    if open_viewer or not live.opens_port:
        try:
            run_line(live, "view open" if open_viewer else "view")
        except GymQueueError as error:
            live.say(f"nobody can watch it: {error}")
    else:
        live.say("view opens a port for viewers; whoever has an account on this machine can use it")
    live.say("help lists the commands; close ends it")


def _prompt(live: Live) -> bool:
    """Read and carry out one line; return whether there was one."""
    try:
        line = input(PROMPT).strip()
    except EOFError:  # Ctrl-D
        live.say("")
        line = "close"
    except KeyboardInterrupt:
        live.say("")
        raise
    try:
        run_line(live, line)
    except (RequestInvalid, Conflict) as error:  # a slip of whoever types: the environment goes on
        live.say(f"error: {error}")
    return bool(line)


def _conclude(live: Live) -> int:
    if live.verdict is None:
        live.say("closed")
        return 0
    passed = bool(live.verdict.get("passed"))
    score, feedback = live.verdict.get("score"), str(live.verdict.get("feedback") or "")
    live.say(f"verdict: {'passed' if passed else 'not passed'}, score {score}: {feedback}".removesuffix(": "))
    return 0 if passed else FAILED


class _Terminal:
    """An environment's terminal within the user's own.

    Args:
        live: The environment, reset.
        console: The user's terminal.
    """

    def __init__(self, live: Live, console: Console) -> None:
        self._live, self._console = live, console
        self._keys = KeyReader()
        self._note = ""
        self._task = live.env.task_description or ""
        """Shown until the first key."""

    def run(self) -> None:
        """Show it, and pass keys on; between the times that commands are typed."""
        while not self._live.has_ended:
            with self._shown() as screen:
                self._work(screen)
            if not self._live.has_ended:
                self._command()

    def _command(self) -> None:
        """Take commands until an empty line goes back to the environment."""
        self._live.say("help lists the commands; an empty line goes back to the environment")
        while _prompt(self._live) and not self._live.has_ended:
            pass

    @contextmanager
    def _shown(self) -> Iterator[Screen]:
        with (
            raw_keys(sys.stdin.fileno()),
            Screen(
                console=self._console,
                screen=True,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            ) as screen,
        ):
            self._draw(screen)
            yield screen

    def _work(self, screen: Screen) -> None:
        """Pass keys on and draw, until the command key or the end."""
        pause_s = FIRST_LOOK_S
        while not self._live.has_ended:
            data = read_keys(sys.stdin.fileno(), ESCAPE_S if self._keys.is_waiting else pause_s)
            if data == b"":
                raise KeyboardInterrupt
            actions = self._keys.flush() if data is None else self._keys.read(data)
            if actions:
                pause_s = FIRST_LOOK_S
                if self._pass_on(actions):
                    return
            else:
                before = self._text()
                self._live.look()
                pause_s = FIRST_LOOK_S if self._text() != before else min(pause_s * SLOWER, LONGEST_LOOK_S)
            self._draw(screen)

    def _pass_on(self, actions: list[KeyAction]) -> bool:
        """Inject keys; return whether the command key is among them, which takes those after it away."""
        command = next((k for k, each in enumerate(actions) if _is_command(each)), None)
        mine = actions if command is None else actions[:command]
        self._note = self._task = ""
        try:
            if mine:
                self._live.act(*mine, settle=False)
        except RequestInvalid as error:
            self._note = str(error)
        return command is not None

    def _text(self) -> str:
        return str(self._live.observation.get("cli_stdout", {}).get("text", ""))

    def _draw(self, screen: Screen) -> None:
        screen.update(
            picture(self._text(), self._console.size, name=self._live.name, note=self._note, task=self._task),
            refresh=True,
        )


def picture(text: str, size: tuple[int, int], *, name: str, note: str = "", task: str = "") -> Group:
    """Return a terminal's text as it fits above a line that says what this is.

    Args:
        text: What the environment shows.
        size: Columns and lines there are.
        name: Of the environment and task.
        note: Shown in place of the help.
        task: What is to be done, shown above that line.
    """
    width, height = size
    told = textwrap.wrap(task, max(width - 1, 1))[:TASK_LINES]
    height = max(height - len(told), 1)
    lines = ["".join(c if c.isprintable() else " " for c in line) for line in text.split("\n")]
    cut = any(cell_len(line) > width for line in lines) or len(lines) > height - 1
    shown = lines[-(height - 1) :] if height > 1 else []
    help_text = "Ctrl-] for commands" + (" (cut: make this terminal larger)" if cut else "")
    status = Text(f" {name}: {note or help_text}", style="reverse", no_wrap=True, overflow="ellipsis")
    status.truncate(width, overflow="ellipsis", pad=True)
    body = [Text(line, no_wrap=True, overflow="crop") for line in shown]
    words = [Text(f" {line}", style="bold", no_wrap=True, overflow="crop") for line in told]
    return Group(*body, *[Text("")] * (height - 1 - len(body)), *words, status)


def _is_command(action: KeyAction) -> bool:
    return bool(action["keyboard"].get("keys") == COMMAND_KEY)
