"""``gym-anything completion``: what makes a shell complete the programs' commands, options and environments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from typer._completion_shared import get_completion_script, install
from typer.completion import get_completion_inspect_parameters

from gym_queue.errors import RequestInvalid

PROGRAMS = ("gym-anything", "gym-anything-master", "gym-anything-worker", "gym-anything-dashboard")
SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[
        str | None,
        typer.Argument(
            help="bash, zsh or fish; the one of $SHELL when not given.",
            autocompletion=lambda: list(SHELLS),
            show_default=False,
        ),
    ] = None,
    install_it: Annotated[
        bool, typer.Option("--install", help="Write it where new shells find it, for this user.")
    ] = False,
) -> None:
    """Print what makes a shell complete the four programs; or install it.

    Exits with 0, or with 2 when the shell is none of the three.

    Example: gym-anything completion bash --install

    Example: gym-anything completion zsh
    """
    chosen = shell or Path(os.environ.get("SHELL", "")).name
    if chosen not in SHELLS:
        named = f"{chosen[:40]!r} is not" if chosen else "$SHELL is not set:"
        raise RequestInvalid(f"{named} one of the shells that can complete: name {', '.join(SHELLS)}")
    for program in PROGRAMS:
        if install_it:
            _, path = install(shell=chosen, prog_name=program, complete_var=variable(program))
            typer.echo(f"{program}: {path}")
        else:
            typer.echo(get_completion_script(prog_name=program, complete_var=variable(program), shell=chosen))
    if install_it:
        typer.echo("new shells complete them")


def variable(program: str) -> str:
    """Return the variable by which a shell asks a program to complete a line."""
    return f"_{program.replace('-', '_').upper()}_COMPLETE"


def answer_shells() -> None:
    """Let the program that is about to run answer a shell that asks it to complete a line."""
    get_completion_inspect_parameters()  # its first act is to make the shells known
