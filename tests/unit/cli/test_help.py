"""What the four programs say of themselves."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gym_queue.cli import dashboard, main, master, worker
from gym_queue.cli.lazy import Entry, LazyCommands

PROGRAMS = {
    "gym-anything": main.app,
    "gym-anything-master": master.app,
    "gym-anything-worker": worker.app,
    "gym-anything-dashboard": dashboard.app,
}
EXAMPLE = re.compile(r"^ *Example: (.+(?:\n +\S.*)*)", re.MULTILINE)


def commands() -> Iterator[tuple[str, Any]]:
    todo = [(program, typer.main.get_command(app)) for program, app in PROGRAMS.items()]
    while todo:
        path, command = todo.pop(0)
        children = getattr(command, "commands", None)
        if children is None:
            yield path, command
        else:
            todo += [(f"{path} {name}", child) for name, child in children.items()]


COMMANDS = dict(commands())


def parse(line: str) -> Any:
    """Parse a command line as its program would, and return the command it is of; nothing is run."""
    program, *words = shlex.split(line)
    command: Any = typer.main.get_command(PROGRAMS[program])
    context = None
    while hasattr(command, "commands"):
        context = command.make_context(program, words, parent=context)
        _, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(command.name or program, words, parent=context)
    return command


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_examples_that_are_lines_of_its_own(path: str) -> None:
    command = COMMANDS[path]
    examples = [" ".join(found.split()) for found in EXAMPLE.findall(command.help or "")]
    assert examples, f"{path} has no Example"
    for example in examples:
        assert example.startswith(f"{path} ") or example == path
        assert parse(example).name in (command.name, path)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_says_what_it_is_for(path: str) -> None:
    silent = [
        each.name for each in COMMANDS[path].params if each.name != "help" and not getattr(each, "help", None)
    ]
    assert silent == []


@pytest.mark.parametrize("path", COMMANDS)
def test_help_is_readable_in_60_columns_without_colours(path: str) -> None:
    command = COMMANDS[path]
    shown = command.get_help(command.context_class(command, info_name=path, terminal_width=60))
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 60
    # A name that is cut can neither be read nor copied.
    for each in command.params:
        for flag in getattr(each, "opts", ()):
            if flag.startswith("--"):
                assert flag in shown, f"{flag} is cut"


def test_the_program_names_its_exit_statuses() -> None:
    shown = " ".join(CliRunner().invoke(main.app, ["-h"], env={"COLUMNS": "200"}).stdout.split())
    assert "Exit status: 0 done; 1 " in shown
    assert "130 Ctrl-C" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("benchmrk", "'benchmark'"),
        ("verify taks", "'task'"),
        ("run terminal_env --taks x", "--task"),
        ("list --jsn", "--json"),
        ("cache purg", "'purge'"),
    ],
)
def test_a_slip_of_the_pen_is_answered_with_the_nearest_name(words: str, said: str) -> None:
    ran = CliRunner().invoke(main.app, words.split())
    assert ran.exit_code == 2
    assert said in ran.output


def test_a_program_imports_what_its_command_needs_and_no_more() -> None:
    code = "import sys, gym_queue.cli.main as m; list(m.typer.main.get_command(m.app).commands); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"gym_queue.benchmark", "gym_queue.testing", "gym_queue.client"} & set(loaded)


def test_commands_can_be_looked_at_as_a_mapping() -> None:
    found = LazyCommands({"list": Entry("envs", "list_envs", "X"), "token": Entry("token", "app", "X")})
    assert (list(found), len(found), "nope" in found) == (["list", "token"], 2, False)
    assert found["token"].commands.keys() == {"create", "list", "revoke"}
    found["mine"] = found["list"]
    assert found["mine"].name == "list"
    del found["mine"]
    assert found.get("mine") is None
