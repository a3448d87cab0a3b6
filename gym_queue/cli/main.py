"""``gym-anything``: everything a user of environments does."""

from __future__ import annotations

import typer

from gym_queue.cli import (
    bench,
    cache,
    chaos,
    cluster,
    compare,
    draining,
    envs,
    logs,
    status,
    stress,
    token,
    top,
    validate,
)
from gym_queue.cli.common import run_typer
from gym_queue.version import __version__

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Computer-use environments, on this machine or on a fleet.",
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


app.command("demo")(cluster.demo)
app.command("up")(cluster.up)
app.command("doctor")(envs.doctor)
app.command("run")(envs.run)
app.command("list")(envs.list_envs)
app.command("validate")(validate.validate)
app.command("benchmark")(bench.benchmark)
app.command("agents")(bench.agents)
app.command("report")(compare.report)
app.command("compare")(compare.compare)
app.command("status")(status.status)
app.command("top")(top.top)
app.command("drain")(draining.drain)
app.command("undrain")(draining.undrain)
app.command("stress")(stress.stress)
app.command("logs")(logs.logs)
app.add_typer(token.app, name="token")
app.add_typer(cache.app, name="cache")
app.command("chaos")(chaos.chaos)


def main() -> None:
    """Run the program."""
    run_typer(app)


if __name__ == "__main__":
    main()
