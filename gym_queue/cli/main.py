"""``gym-anything``: everything a user of environments does."""

from __future__ import annotations

import typer

from gym_queue.cli.common import run_typer
from gym_queue.cli.lazy import Entry, lazy_group
from gym_queue.version import __version__

BEGIN, ENVS, BENCHMARKS = "Begin", "Environments", "Benchmarks"
FLEET, PROOF, MACHINE = "A fleet", "A fleet on trial", "This machine"
COMMANDS = {
    "demo": Entry("cluster", "demo", BEGIN),
    "up": Entry("cluster", "up", BEGIN),
    "run": Entry("running", "run", ENVS),
    "list": Entry("envs", "list_envs", ENVS),
    "validate": Entry("validate", "validate", ENVS),
    "verify": Entry("verify", "app", ENVS),
    "benchmark": Entry("bench", "benchmark", BENCHMARKS),
    "agents": Entry("bench", "agents", BENCHMARKS),
    "report": Entry("compare", "report", BENCHMARKS),
    "compare": Entry("compare", "compare", BENCHMARKS),
    "status": Entry("status", "status", FLEET),
    "top": Entry("top", "top", FLEET),
    "logs": Entry("logs", "logs", FLEET),
    "drain": Entry("draining", "drain", FLEET),
    "undrain": Entry("draining", "undrain", FLEET),
    "token": Entry("token", "app", FLEET),
    "stress": Entry("stress", "stress", PROOF),
    "chaos": Entry("chaos", "chaos", PROOF),
    "doctor": Entry("doctor", "doctor", MACHINE),
    "compatibility": Entry("compat", "compatibility", MACHINE),
    "cache": Entry("cache", "app", MACHINE),
    "image": Entry("image", "app", MACHINE),
    "completion": Entry("completion", "completion", MACHINE),
}
"""In the order of the help."""
EXITS = (
    "Exit status: 0 done; 1 an error, or what was checked is not as it should be; 2 a flag or a setting is wrong; "
    "3 the machinery broke, which says nothing about what was tried (benchmark, verify task); 130 Ctrl-C."
)

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Computer-use environments, on this machine or on a fleet.",
    epilog=EXITS,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    _version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Computer-use environments, on this machine or on a fleet."""


def main() -> None:
    """Run the program."""
    run_typer(app)


if __name__ == "__main__":
    main()
