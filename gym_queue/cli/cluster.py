"""``gym-anything demo`` and ``up``: a cluster on this machine."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import Annotated

import platformdirs
import typer
from rich.console import Console

from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.results import exit_code
from gym_queue.benchmark.run import run_benchmark
from gym_queue.cli.common import dashboard_link
from gym_queue.cli.options import AllowEmulation
from gym_queue.log import VARIABLE, LogFormat, configure_logging
from gym_queue.settings import APP_NAME, DEFAULT_MASTER_PORT, find_or_make_token
from gym_queue.testing import Fleet, FleetSetup
from gym_queue.tls import TlsFiles
from gym_queue.web.privateca import make_private_certificate
from gym_queue.web.server import caught_signals

DEMO_ENV = "terminal_env"


def demo(
    workers: Annotated[int, typer.Option(min=1, max=16, help="Workers to start.")] = 2,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Tasks at once.")] = 4,
) -> None:
    """Start a whole cluster, run the shipped benchmark through it, stop it.

    Example: gym-anything demo
    """
    configure_logging("WARNING")
    console = Console(stderr=True)
    find_or_make_token()
    started = time.monotonic()
    console.print(f"starting a master and {workers} workers, with an embedded broker ..")
    try:
        with Fleet(FleetSetup(workers=workers)) as fleet:
            console.print(f"master at {fleet.url}, workers ready after {time.monotonic() - started:.1f} s")
            results = run_benchmark(
                BenchmarkConfig(env=DEMO_ENV, agent="ScriptedAgent", remote_url=fleet.url, parallel=parallel),
                Console(),
            )
    finally:
        console.print(f"stopped; {time.monotonic() - started:.1f} s in all")
    raise typer.Exit(exit_code(results))


def up(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Workers to start.")] = 2,
    max_envs: Annotated[int, typer.Option(min=1, max=10_000, help="Environments at once, per worker.")] = 4,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The master's port.")] = DEFAULT_MASTER_PORT,
    auto_port: Annotated[bool, typer.Option("--auto-port", help="Take the next free port.")] = False,
    grace: Annotated[float, typer.Option(min=0, help="On Ctrl-C, seconds environments may finish.")] = 0.0,
    allow_emulation: AllowEmulation = False,
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve https, by a private CA made for this user (gym-queue[tls]).")
    ] = False,
) -> None:
    """Run a master and workers on this machine until Ctrl-C.

    Example: gym-anything up --workers 2
    """
    configure_logging()
    token = find_or_make_token()
    files = make_private_certificate(_tls_folder(), host) if tls else TlsFiles()
    setup = FleetSetup(
        workers=workers,
        max_envs=max_envs,
        host=host,
        port=port,
        grace_s=grace,
        quiet=False,
        variables={
            VARIABLE: os.environ.get(VARIABLE) or LogFormat.TEXT
        },  # all of them in one place, for people
        master_arguments=(*_flags(files), *(("--auto-port",) if auto_port else ())),
        worker_arguments=(*_flags(files), *(("--allow-emulation",) if allow_emulation else ())),
    )
    with caught_signals() as wait, Fleet(setup) as fleet:
        typer.echo(
            f"\nready: {fleet.url}, {workers} workers with {max_envs} slots each. Try, in another terminal:"
        )
        if tls:
            typer.echo(f"  export GYM_ANYTHING_SSL_CA={shlex.quote(str(files.ca))}")
        typer.echo(f"  gym-anything benchmark {DEMO_ENV} --remote-url {fleet.url}")
        typer.echo(f"  gym-anything status --remote-url {fleet.url}")
        typer.echo(f"dashboard: {dashboard_link(fleet.url, token)}")
        typer.echo("Ctrl-C stops everything.\n")
        wait()
        typer.echo("stopping ..")


def _tls_folder() -> Path:
    return Path(platformdirs.user_state_dir(APP_NAME)) / "tls"


def _flags(files: TlsFiles) -> tuple[str, ...]:
    return (
        () if files.certfile is None else ("--ssl-certfile", str(files.certfile), "--ssl-ca", str(files.ca))
    )
