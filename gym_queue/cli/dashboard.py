"""``gym-anything-dashboard``: the dashboard apart from its master."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn
from urllib.parse import quote

import typer

from gym_queue.cli.common import LogLevel, run_typer
from gym_queue.cli.supervised import follow_parent, tell_ready
from gym_queue.dashboard.run import DashboardOptions, run_dashboard
from gym_queue.log import configure_logging
from gym_queue.settings import (
    DEFAULT_DASHBOARD_PORT,
    DEFAULT_MASTER_PORT,
    ClientSettings,
    find_or_make_token,
    find_token,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def dashboard(
    master_url: Annotated[
        str | None,
        typer.Option(
            help=f"Master to show. Default: GYM_ANYTHING_REMOTE_URL, else http://localhost:{DEFAULT_MASTER_PORT}."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = DEFAULT_DASHBOARD_PORT,
    auto_port: Annotated[
        bool, typer.Option("--auto-port", help="Take the next free port when --port is taken.")
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(help="The cluster's token. Default: GYM_ANYTHING_TOKEN, else this user's token file."),
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Serve callers without a token.")] = False,
    log_level: Annotated[LogLevel, typer.Option(case_sensitive=False)] = LogLevel.INFO,
) -> None:
    """Serve the dashboard of a master that runs elsewhere; it only reads."""
    configure_logging(log_level)
    follow_parent()
    options = DashboardOptions(
        master_url=master_url or ClientSettings().remote_url or f"http://localhost:{DEFAULT_MASTER_PORT}",
        host=host,
        port=port,
        auto_port=auto_port,
        token=token or (find_token() if no_auth else find_or_make_token()),
        no_auth=no_auth,
        tls=ClientSettings().tls,
    )
    run_dashboard(options, on_ready=lambda url: _announce(url, options))


def _announce(url: str, options: DashboardOptions) -> None:
    if options.access_token is None:
        link = f"{url}/dashboard (no token asked: whoever reaches it sees the fleet)"
    elif sys.stdout.isatty():
        link = f"{url}/dashboard?token={quote(options.access_token, safe='')}"
    else:  # a log, which the token stays out of
        link = f"{url}/dashboard (it asks for the cluster's token)"
    print(f"dashboard: {link}", flush=True)
    tell_ready(url)


def main() -> NoReturn:
    """Run the program and exit."""
    run_typer(app)


if __name__ == "__main__":
    main()
