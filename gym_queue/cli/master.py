"""``gym-anything-master``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gym_queue.cli.common import LogLevel, run_typer, settings_from
from gym_queue.cli.supervised import follow_parent, tell_ready
from gym_queue.dashboard.pages import OPEN_PATHS, add_pages
from gym_queue.log import configure_logging
from gym_queue.master.run import run_master
from gym_queue.settings import MasterSettings, find_or_make_token, token_path
from gym_queue.web.auth import same_token

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.  [default: 5800]")] = None,
    broker_url: Annotated[
        str | None,
        typer.Option(help="Celery broker (redis://.., amqp://..); an embedded one when not given."),
    ] = None,
    heartbeat_timeout: Annotated[
        float | None, typer.Option(help="Seconds of silence after which a worker gets no new environments.")
    ] = None,
    dead_timeout: Annotated[
        float | None, typer.Option(help="Seconds of silence after which a worker's environments are lost.")
    ] = None,
    heartbeat: Annotated[float | None, typer.Option(help="Seconds between workers' heartbeats.")] = None,
    proxy_timeout: Annotated[
        float | None, typer.Option(help="Seconds a worker may take for one call.")
    ] = None,
    queue_timeout: Annotated[float | None, typer.Option(help="Seconds a create may wait for a slot.")] = None,
    auto_port: Annotated[bool, typer.Option("--auto-port", help="Take the next free port.")] = False,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded broker.")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="GYM_ANYTHING_TOKEN", help="Cluster token; the user's token file when not given."
        ),
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Serve callers without a token.")] = False,
    log_level: Annotated[LogLevel | None, typer.Option(case_sensitive=False)] = None,
) -> None:
    """Route environments to workers: creates through Celery, calls straight to the worker.

    Example: gym-anything-master --host 0.0.0.0 --port 5800
    """
    settings = settings_from(
        MasterSettings,
        host=host,
        port=port,
        broker_url=broker_url,
        heartbeat_s=heartbeat,
        heartbeat_timeout_s=heartbeat_timeout,
        dead_timeout_s=dead_timeout,
        proxy_timeout_s=proxy_timeout,
        queue_timeout_s=queue_timeout,
        auto_port=auto_port or None,
        state_dir=state_dir,
        no_auth=no_auth or None,
        log_level=log_level,
    )
    configure_logging(settings.log_level)
    follow_parent()
    secret = token or find_or_make_token()
    check = None if settings.no_auth else lambda given: same_token(given, secret)
    run_master(
        settings,
        secret,
        add_pages=lambda web: add_pages(web, check_token=check),
        open_paths=OPEN_PATHS,
        on_ready=lambda url: _announce(url, no_auth=settings.no_auth, own_token=token is not None),
    )


def _announce(url: str, *, no_auth: bool, own_token: bool) -> None:
    typer.echo(f"master at {url}, dashboard at {url}/dashboard", err=True)
    if no_auth:
        typer.echo("warning: --no-auth: whoever reaches this port can run programs on every worker", err=True)
    else:
        typer.echo(f"token: {'as given' if own_token else token_path()}", err=True)
    tell_ready(url)


def main() -> None:
    """Run the program."""
    run_typer(app)


if __name__ == "__main__":
    main()
