"""Composes a worker: settings → preflight → registration → parts → Celery, or the parts alone."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import socket
import ssl
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import celery
import celery.apps.worker
import celery.worker.state
from celery.exceptions import SecurityWarning
from celery.platforms import EX_OK

from gym_queue.broker.app import make_app
from gym_queue.broker.url import check_broker_url, is_closed_socket, safe_url
from gym_queue.errors import RequestInvalid, StartupFailed
from gym_queue.log import LogSetup
from gym_queue.protocol.fleet import WORKER_ID_PATTERN
from gym_queue.protocol.queues import queue_name
from gym_queue.protocol.sessions import RESET_POLICIES
from gym_queue.runners.registry import implemented_runners, remove_orphans
from gym_queue.settings import WorkerSettings
from gym_queue.tls import server_context
from gym_queue.tracing import start_tracing
from gym_queue.web.door import Door
from gym_queue.web.limits import BodyLimits, DoorLimits
from gym_queue.web.pauses import shorten_pauses
from gym_queue.web.renewal import RenewedCertificate
from gym_queue.web.rotation import RotatingToken
from gym_queue.web.server import HttpServer, LoopThread, bind, caught_signals
from gym_queue.worker.allowances import host_limits_of, vm_options_of
from gym_queue.worker.announce import Announcer, Census, MasterLink, advertised_host, describe_worker
from gym_queue.worker.consumer import Part, PatientConsumer, add_create_task, add_steps, set_queues
from gym_queue.worker.doctor import Usable, preflight
from gym_queue.worker.envlogs import EnvLogs
from gym_queue.worker.host import Host
from gym_queue.worker.http import WorkerIdentity, make_worker_app
from gym_queue.worker.keeping import ArchivePart, open_archive
from gym_queue.worker.parts import AnnouncerPart, CertificatePart, HostPart, HttpPart, ReadyPart
from gym_queue.worker.viewers import is_viewer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Worker:
    """A composed worker, ready to run."""

    host: Host
    loop: LoopThread
    identity: WorkerIdentity
    parts: tuple[Part, ...]
    queues: tuple[str, ...]
    broker_url: str | None
    ca: Path | None


def run_worker(
    settings: WorkerSettings, token: str | RotatingToken, *, on_ready: Callable[[str], None]
) -> None:
    """Run a worker until SIGTERM or SIGINT.

    Args:
        settings: All of its settings.
        token: The worker token, or the cluster's: shown to the master, and asked of callers unless
            ``settings.no_auth``.
        on_ready: Called with the worker's URL once it serves.

    Raises:
        StartupFailed: The preflight failed, a port is taken, a file of ``settings.tls`` cannot be used, or the master
            cannot be reached.
    """
    check_settings(settings)
    warn_of_wide_root(settings)
    usable = preflight(
        implemented=implemented_runners(),
        must_support=_names(settings.must_support_runner),
        offer=_names(settings.runners),
        skip=settings.skip_preflight,
        vm=vm_options_of(settings),
    )
    remove_orphans(usable.runners)  # of workers that were killed, and their fork servers with them
    bound = bind(settings.host, settings.port)
    # Made by the host when it starts: a signal while the master is waited for leaves nothing.
    work_dir = Path(tempfile.gettempdir(), f"gym-queue-worker-{secrets.token_hex(6)}")
    try:
        worker, announcer = _compose(settings, token, usable, bound, work_dir, on_ready)
        try:
            _run(worker, settings.max_envs)
        except BaseException:
            if announcer is not None and not announcer.has_started:
                announcer.deregister()
            raise
        finally:
            worker.host.tracing.stop()
    finally:
        bound.close()
        shutil.rmtree(work_dir, ignore_errors=True)


def check_settings(settings: WorkerSettings) -> None:
    """Refuse what could only fail later.

    Raises:
        RequestInvalid: A setting's value is not valid.
    """
    if settings.reset_policy not in RESET_POLICIES:
        raise RequestInvalid(
            f"the reset policy {settings.reset_policy!r} is unknown: use {' or '.join(RESET_POLICIES)}"
        )
    if settings.broker_url is not None:
        check_broker_url(settings.broker_url)
    if settings.worker_id is not None and not re.match(WORKER_ID_PATTERN, settings.worker_id):
        raise RequestInvalid(
            f"the worker id {settings.worker_id!r} is not valid: use letters, digits, '-' and '_', at most 128"
        )
    if settings.master_url is not None and not _is_http_url(settings.master_url):
        raise RequestInvalid(f"the master URL {settings.master_url!r} is not valid: write http://host:5800")
    if settings.tls.is_mutual and (settings.master_url or "").startswith("http:"):
        raise RequestInvalid(
            "--ssl-ca asks callers for a certificate, which a master at http:// has not: leave it out, or serve the master with --ssl-certfile"
        )


def warn_of_wide_root(settings: WorkerSettings) -> None:
    """Say so when the worker's folder, which nobody chose, lets environments have all of the disk or of the home."""
    folder = Path.cwd()
    if not settings.env_roots and folder in (Path("/"), _home()):
        logger.warning(
            "no --env-root is given, and the worker was started in %s: specs can mount what lies there; name the folder of the environments with --env-root",
            folder,
        )


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except RuntimeError:  # neither HOME nor a user of this id
        return None


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, a port that is no number
        return False


def _compose(
    settings: WorkerSettings,
    token: str | RotatingToken,
    usable: Usable,
    bound: socket.socket,
    work_dir: Path,
    on_ready: Callable[[str], None],
) -> tuple[Worker, Announcer | None]:
    tls = server_context(settings.tls, asks=ssl.CERT_REQUIRED)
    worker_id = settings.worker_id or make_worker_id()
    port = int(bound.getsockname()[1])
    max_starting = min(settings.max_starting or os.cpu_count() or 1, settings.max_envs)
    archive = open_archive(settings, worker_id, work_dir)
    limits = replace(
        host_limits_of(settings, max_starting, usable.acceleration), keep=archive.rule if archive else None
    )
    tracing = start_tracing("gym-queue-worker", service_instance_id=worker_id)
    log = LogSetup(settings.log_level, settings.log_format, {"worker_id": worker_id})
    host = Host(work_dir, usable.runners, limits, log=log, logs=keep_lines(), tracing=tracing)
    queues = tuple(queue_name(runner, worker_id) for runner in usable.runners)
    announcer, url = None, f"{settings.tls.scheme}://{settings.advertise_host or 'localhost'}:{port}"
    broker_url = settings.broker_url
    if settings.master_url is not None:
        link = MasterLink(settings.master_url.rstrip("/"), token, settings.tls)
        host_name = settings.advertise_host or advertised_host(link.url, settings.host)
        url = f"{settings.tls.scheme}://{host_name}:{port}"
        registration = describe_worker(
            worker_id=worker_id,
            url=url,
            port=port,
            max_envs=settings.max_envs,
            max_starting=max_starting,
            usable=usable,
            queues=list(queues),
        )
        announcer = Announcer(
            link, registration, partial(_census, host), heartbeat_s=settings.heartbeat_interval_s
        )
        host.is_cut_off = partial(_has_lost, announcer)
        broker_url = broker_url or _open_broker(announcer.register().broker_url)
        if broker_url is None:
            announcer.serve_without_queues()
    loop = LoopThread()
    identity = WorkerIdentity(
        worker_id, url, settings.master_url, lambda: announcer.master_status if announcer else "none"
    )
    app = make_worker_app(
        host,
        identity,
        token=None if settings.no_auth else token,
        bodies=BodyLimits.of(settings),
        archive=archive,
    )
    server = HttpServer(
        app, bound, protocol=Door(DoorLimits.of(settings), upgrades=is_viewer).protocol(), tls=tls
    )
    renewed = RenewedCertificate(settings.tls, [tls, announcer.verify if announcer else None])
    parts: tuple[Part, ...] = (
        HostPart(host, loop),
        ArchivePart(archive),
        HttpPart(server, loop),
        AnnouncerPart(announcer, host, loop, grace_s=settings.grace_s),
        CertificatePart(renewed, loop),
        ReadyPart(partial(_tell_ready, on_ready, url)),
    )
    return Worker(host, loop, identity, parts, queues, broker_url, settings.ssl_ca), announcer


def keep_lines() -> EnvLogs:
    """Return what keeps this process' lines by environment, from now on."""
    logs = EnvLogs()
    logging.getLogger().addHandler(logs)
    return logs


def _open_broker(url: str | None) -> str | None:
    """Return the master's broker; None where it has none that this worker could open."""
    if url is not None and is_closed_socket(url):
        logger.warning(
            "the master's broker %s is another user's: creates come over HTTP; install redis-server for the master, or run both as one user",
            safe_url(url),
        )
        return None
    return url


def _has_lost(announcer: Announcer) -> bool:
    """Return whether the master is away, through which most clients renew their leases."""
    return announcer.master_status == "unreachable"


def _census(host: Host) -> Census:
    metrics = {"reaped": host.reaped_count, "clock": time.time(), "calls": host.counts.report()}
    return Census(list(host.snapshot()), host.opening, metrics)


def _tell_ready(on_ready: Callable[[str], None], url: str) -> None:
    shorten_pauses()
    on_ready(url)


def _run(worker: Worker, max_envs: int) -> None:
    worker.loop.start()
    logger.info(
        "worker %s serves at %s, runners: %s",
        worker.identity.worker_id,
        worker.identity.url,
        ", ".join(worker.host.runners),
    )
    hurry = worker.host.hurry  # read by a loop that looks every few ms
    if worker.broker_url is None:
        with caught_signals(again=hurry) as wait:
            _run_parts(worker, wait)
        return
    app = make_app(worker.broker_url, name="gym_queue.worker", ca=worker.ca)
    add_create_task(app, worker.host, worker.loop, worker.identity)
    set_queues(app, worker.queues)
    add_steps(app, worker.parts)
    with caught_signals(first=_stop_celery, again=hurry):
        _run_celery(app, worker.identity.worker_id, max_envs)


def _run_parts(worker: Worker, wait: Callable[[], int]) -> None:
    """Serve creates over HTTP alone, until ``wait`` returns."""
    logger.info("no broker: creates are served over HTTP alone")
    started: list[Part] = []
    try:
        for part in worker.parts:
            part.start()
            started.append(part)
        wait()
    finally:
        for part in reversed(started):
            part.stop()


def _run_celery(app: celery.Celery, worker_id: str, max_envs: int) -> None:
    """Consume creates until Celery is told to stop; it unwinds the parts in order."""
    with warnings.catch_warnings():
        # Celery warns of root because of pickle; this app takes JSON alone, and containers run as root.
        warnings.simplefilter("ignore", SecurityWarning)
        controller = QuietWorker(
            app=app,
            hostname=f"gym@{worker_id}",
            pool="threads",
            concurrency=max_envs,
            loglevel="WARNING",
            without_gossip=True,
            without_mingle=True,
            task_events=True,
            quiet=True,
            consumer_cls=PatientConsumer,
        )
    controller.start()
    if controller.exitcode:
        raise StartupFailed(f"the Celery worker ended with status {controller.exitcode}: see its log above")


class QuietWorker(celery.apps.worker.Worker):
    """A Celery worker that leaves signals, and what is printed on them, to its caller."""

    def install_platform_tweaks(self, worker: object) -> None:
        """Install no signal handlers."""


def _stop_celery() -> None:
    """Ask the Celery worker of this process for a warm shutdown: its loop looks at this flag."""
    state: Any = celery.worker.state
    state.should_stop = EX_OK


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())


def make_worker_id() -> str:
    """Return a name for a worker that has none: of its host, and a random part."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname().partition(".")[0])[:60] or "worker"
    return f"{host}-{secrets.token_hex(3)}"
