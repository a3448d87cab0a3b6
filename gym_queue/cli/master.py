"""``gym-anything-master``."""

from __future__ import annotations

import logging
from collections.abc import Callable

import typer
from pydantic import SecretStr

from gym_queue.broker.url import check_broker_url
from gym_queue.cli import options
from gym_queue.cli.common import run_typer, settings_of
from gym_queue.cli.supervised import follow_parent, tell_ready
from gym_queue.dashboard.pages import OPEN_PATHS, add_pages
from gym_queue.errors import RequestInvalid
from gym_queue.log import LogFormat, configure_logging
from gym_queue.master.access import Keyring
from gym_queue.master.run import run_master
from gym_queue.master.tokens import NamedTokens, TokenFile
from gym_queue.settings import MasterSettings, find_or_make_token, find_token, token_path, tokens_path
from gym_queue.web.auth import same_token
from gym_queue.web.rotation import RotatingToken

logger = logging.getLogger("gym_queue.cli.master")  # __name__ is __main__ when it is the program

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def serve(
    host: options.Host = None,
    port: options.Port = None,
    auto_port: options.AutoPort = False,
    broker_url: options.BrokerUrl = None,
    heartbeat_s: options.Heartbeat = None,
    heartbeat_timeout_s: options.HeartbeatTimeout = None,
    dead_timeout_s: options.DeadTimeout = None,
    proxy_timeout_s: options.ProxyTimeout = None,
    queue_timeout_s: options.QueueTimeout = None,
    wait_for_workers: options.WaitForWorkers = False,
    state_dir: options.StateDir = None,
    fresh: options.Fresh = False,
    ssl_certfile: options.SslCertfile = None,
    ssl_keyfile: options.SslKeyfile = None,
    ssl_ca: options.SslCa = None,
    token: options.Token = None,
    worker_token: options.WorkerToken = None,
    metrics_token: options.MetricsToken = None,
    no_auth: options.NoAuth = False,
    log_level: options.Level = None,
    log_format: options.Format = None,
) -> None:
    """Route environments to workers: creates through Celery, calls straight to the worker.

    Example: gym-anything-master --host 0.0.0.0 --port 5800
    """
    settings = settings_of(MasterSettings, locals())
    is_json = configure_logging(settings.log_level, form=settings.log_format) is LogFormat.JSON
    if settings.broker_url is not None:
        check_broker_url(settings.broker_url)
    follow_parent()
    secret = token or find_or_make_token()
    keys = keyring(
        secret, own_token=bool(token), worker_token=worker_token or None, metrics=settings.metrics_token
    )
    check = None if settings.no_auth else keys.cluster.opens
    run_master(
        settings,
        secret,
        add_pages=lambda web: add_pages(web, check_token=check),
        open_paths=OPEN_PATHS,
        on_ready=lambda url: _announce(
            url, _log if is_json else _print, no_auth=settings.no_auth, own_token=bool(token)
        ),
        keys=keys,
    )


def keyring(secret: str, *, own_token: bool, worker_token: str | None, metrics: SecretStr | None) -> Keyring:
    """Return who bears which token: a token that was given stays, one of the file changes with it.

    Raises:
        RequestInvalid: The metrics token is empty, or that of the workers.
    """
    if worker_token is not None and same_token(worker_token, secret):
        worker_token = None
    cluster = RotatingToken(secret) if own_token else RotatingToken(secret, token_path(), read=find_token)
    return Keyring(
        cluster,
        worker_token=worker_token,
        metrics_token=_metrics_token(metrics, worker_token),
        named=NamedTokens(TokenFile(tokens_path())),
    )


def _metrics_token(given: SecretStr | None, worker_token: str | None) -> str | None:
    if given is None:
        return None
    token = given.get_secret_value().strip()
    if not token or (worker_token is not None and same_token(token, worker_token)):
        what = "that of the workers" if token else "empty"
        raise RequestInvalid(f"the metrics token is {what}: give one of its own with --metrics-token")
    return token


def _announce(url: str, say: Callable[[str], None], *, no_auth: bool, own_token: bool) -> None:
    say(f"master at {url}, dashboard at {url}/dashboard")
    if no_auth:
        say("warning: --no-auth: whoever reaches this port can run programs on every worker")
    else:
        say(f"token: {'as given' if own_token else token_path()}")
    tell_ready(url)


def _log(sentence: str) -> None:
    logger.info("%s", sentence)


def _print(sentence: str) -> None:
    typer.echo(sentence, err=True)


def main() -> None:
    """Run the program."""
    run_typer(app, when_interrupted=0)


if __name__ == "__main__":
    main()
