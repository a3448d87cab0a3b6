"""``gym-anything-worker``."""

from __future__ import annotations

import logging

import typer

from gym_queue.cli import options
from gym_queue.cli.common import run_typer, settings_of
from gym_queue.cli.supervised import follow_parent, tell_ready
from gym_queue.log import configure_logging
from gym_queue.settings import WorkerSettings, find_or_make_token, find_token, token_path
from gym_queue.web.rotation import RotatingToken
from gym_queue.worker.run import make_worker_id, run_worker

logger = logging.getLogger(__name__)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def serve(
    master_url: options.MasterUrl = None,
    host: options.Host = None,
    port: options.Port = None,
    broker_url: options.BrokerUrl = None,
    worker_id: options.WorkerId = None,
    max_envs: options.MaxEnvs = None,
    max_starting: options.MaxStarting = None,
    timeout_s: options.Timeout = None,
    heartbeat_interval_s: options.HeartbeatInterval = None,
    advertise_host: options.AdvertiseHost = None,
    reset_policy: options.ResetPolicy = None,
    runners: options.Runners = None,
    must_support_runner: options.MustSupport = None,
    skip_preflight: options.SkipPreflight = False,
    skip_kvm_check: options.SkipKvmCheck = False,
    grace_s: options.Grace = None,
    env_roots: options.EnvRoot = None,
    allow_paths: options.AllowPath = None,
    allow_privileged: options.AllowPrivileged = False,
    allow_emulation: options.AllowEmulation = False,
    vm_image_dir: options.VmImageDir = None,
    verifier_timeout_s: options.VerifierTimeout = None,
    verifier_cpu_s: options.VerifierCpu = None,
    verifier_memory_gb: options.VerifierMemory = None,
    verifier_file_gb: options.VerifierFile = None,
    verifier_processes: options.VerifierProcesses = None,
    verifier_user: options.VerifierUser = None,
    checkpoint_dir: options.CheckpointDir = None,
    cache_max_gb: options.CacheMaxGb = None,
    cache_max_age_days: options.CacheMaxAgeDays = None,
    episodes_dir: options.EpisodesDir = None,
    keep_episodes: options.KeepEpisodes = None,
    episodes_gb: options.EpisodesGb = None,
    ssl_certfile: options.SslCertfile = None,
    ssl_keyfile: options.SslKeyfile = None,
    ssl_ca: options.SslCa = None,
    token: options.Token = None,
    worker_token: options.WorkerToken = None,
    no_auth: options.NoAuth = False,
    log_level: options.Level = None,
    log_format: options.Format = None,
) -> None:
    """Run environments on this machine, for a master or alone.

    Example: gym-anything-worker --master-url http://localhost:5800 --max-envs 4
    """
    settings = settings_of(WorkerSettings, locals())
    _run(settings, worker_token or token)


def _run(settings: WorkerSettings, token: str | None) -> None:
    worker_id = settings.worker_id or make_worker_id()
    settings = settings.model_copy(update={"worker_id": worker_id})
    configure_logging(settings.log_level, form=settings.log_format, ids={"worker_id": worker_id})
    follow_parent()
    if settings.skip_kvm_check:
        logger.warning("--skip-kvm-check is deprecated: use --skip-preflight")
        settings = settings.model_copy(update={"skip_preflight": True})
    run_worker(settings, token or _token_of_file(), on_ready=tell_ready)


def _token_of_file() -> str | RotatingToken:
    """Return the user's cluster token, which changes with its file unless a variable gives it."""
    secret = find_or_make_token()
    return RotatingToken(secret, token_path(), read=find_token)


def main() -> None:
    """Run the program."""
    run_typer(app, when_interrupted=0)


if __name__ == "__main__":
    main()
