"""``gym-anything-dashboard``: the dashboard apart from its master."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn
from urllib.parse import quote

import typer

from gym_queue.cli import options
from gym_queue.cli.common import LogLevel, run_typer
from gym_queue.cli.supervised import follow_parent, tell_ready
from gym_queue.dashboard.run import DashboardOptions, run_dashboard
from gym_queue.log import LogFormat, configure_logging
from gym_queue.settings import (
    DEFAULT_DASHBOARD_PORT,
    DEFAULT_MASTER_PORT,
    ClientSettings,
    find_or_make_token,
    find_token,
)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def dashboard(
    master_url: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Master to show, as URL or name=URL; repeatable. Default: GYM_ANYTHING_REMOTE_URL, else http://localhost:{DEFAULT_MASTER_PORT}."
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
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Serve callers without a token; they may only look.")
    ] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Let nobody act through this dashboard, only look.")
    ] = False,
    log_level: Annotated[
        LogLevel, typer.Option(case_sensitive=False, help="How much to log.")
    ] = LogLevel.INFO,
    log_format: options.Format = None,
) -> None:
    """Serve the dashboard of masters that run elsewhere; its page acts as far as the token lets it.

    Example: gym-anything-dashboard --master-url lab=http://10.0.0.1:5800 --master-url http://10.0.0.2:5800
    """
    configure_logging(log_level, form=log_format or LogFormat.AUTO)
    follow_parent()
    default = ClientSettings().remote_url or f"http://localhost:{DEFAULT_MASTER_PORT}"
    chosen = DashboardOptions(
        master_urls=tuple(master_url or (default,)),
        host=host,
        port=port,
        auto_port=auto_port,
        token=token or (find_token() if no_auth else find_or_make_token()),
        no_auth=no_auth,
        read_only=read_only,
        tls=ClientSettings().tls,
    )
    run_dashboard(chosen, on_ready=lambda url: _announce(url, chosen))


def _announce(url: str, chosen: DashboardOptions) -> None:
    if chosen.access_token is None:
        link = f"{url}/dashboard (no token asked: whoever reaches it sees the fleet)"
    elif sys.stdout.isatty():
        link = f"{url}/dashboard?token={quote(chosen.access_token, safe='')}"
    else:  # a log, which the token stays out of
        link = f"{url}/dashboard (it asks for the cluster's token)"
    print(f"dashboard: {link}", flush=True)
    tell_ready(url)


def main() -> NoReturn:
    """Run the program and exit."""
    run_typer(app, when_interrupted=0)


if __name__ == "__main__":
    main()
