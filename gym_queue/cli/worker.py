"""``gym-anything-worker``."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from gym_queue.cli.common import LogLevel, run_typer, settings_from
from gym_queue.cli.supervised import follow_parent, tell_ready
from gym_queue.log import configure_logging
from gym_queue.settings import WorkerSettings, find_or_make_token
from gym_queue.worker.run import run_worker

logger = logging.getLogger(__name__)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(
    master_url: Annotated[
        str | None, typer.Option(help="Master to register with; without one, creates are served directly.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [default: 0.0.0.0]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.  [default: 0]")] = None,
    broker_url: Annotated[
        str | None, typer.Option(help="Celery broker; the master's when not given.")
    ] = None,
    worker_id: Annotated[
        str | None, typer.Option(help="Name of this worker; made up when not given.")
    ] = None,
    max_envs: Annotated[int | None, typer.Option(help="Environments at once.  [default: 4]")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which an idle environment is closed.  [default: 3600]")
    ] = None,
    heartbeat_interval: Annotated[float | None, typer.Option(help="Seconds between heartbeats.")] = None,
    advertise_host: Annotated[
        str | None, typer.Option(help="Name or address the master reaches this worker by.")
    ] = None,
    reset_policy: Annotated[
        str | None, typer.Option(help="Of resets that name none: core or baseline_setup.  [default: core]")
    ] = None,
    runners: Annotated[
        str | None, typer.Option(help="Offer only these, comma-separated; every ready one when not given.")
    ] = None,
    must_support_runner: Annotated[
        str | None, typer.Option(help="Refuse to start without these, comma-separated.")
    ] = None,
    skip_preflight: Annotated[
        bool, typer.Option("--skip-preflight", help="Do not probe the runners.")
    ] = False,
    skip_kvm_check: Annotated[
        bool, typer.Option("--skip-kvm-check", help="Deprecated: use --skip-preflight.")
    ] = False,
    grace: Annotated[
        float | None, typer.Option(help="On SIGTERM, seconds environments may finish.  [default: 30]")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="GYM_ANYTHING_TOKEN", help="Cluster token; the user's token file when not given."
        ),
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Serve callers without a token.")] = False,
    log_level: Annotated[LogLevel | None, typer.Option(case_sensitive=False)] = None,
) -> None:
    """Run environments on this machine, for a master or alone.

    Example: gym-anything-worker --master-url http://localhost:5800 --max-envs 4
    """
    settings = settings_from(
        WorkerSettings,
        host=host,
        port=port,
        master_url=master_url,
        broker_url=broker_url,
        worker_id=worker_id,
        max_envs=max_envs,
        timeout_s=timeout,
        heartbeat_interval_s=heartbeat_interval,
        advertise_host=advertise_host,
        reset_policy=reset_policy,
        runners=runners,
        must_support_runner=must_support_runner,
        skip_preflight=skip_preflight or None,
        skip_kvm_check=skip_kvm_check or None,
        grace_s=grace,
        no_auth=no_auth or None,
        log_level=log_level,
    )
    configure_logging(settings.log_level)
    follow_parent()
    if settings.skip_kvm_check:
        logger.warning("--skip-kvm-check is deprecated: use --skip-preflight")
        settings = settings.model_copy(update={"skip_preflight": True})
    run_worker(settings, token or find_or_make_token(), on_ready=tell_ready)


def main() -> None:
    """Run the program."""
    run_typer(app)


if __name__ == "__main__":
    main()
