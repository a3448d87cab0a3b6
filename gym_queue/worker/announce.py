"""Telling the master: registration, heartbeats, draining, deregistration."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil

from gym_queue.errors import BadReply, ConnectionFailed, GymQueueError, StartupFailed, from_wire
from gym_queue.protocol.fleet import (
    SECRET_HEADER,
    Heartbeat,
    Registered,
    Registration,
    Resources,
    WorkerMetadata,
)
from gym_queue.runners.memory import read_memory
from gym_queue.tls import TlsFiles, explain, verify_of, why_hung_up
from gym_queue.version import __version__
from gym_queue.web.rotation import RotatingToken
from gym_queue.worker.doctor import Usable

logger = logging.getLogger(__name__)

GOODBYE_TIMEOUT_S = 2.0
"""A master that hangs must not hold up the end of its workers."""
CALL_TIMEOUT_S = 10.0
REGISTER_PATIENCE_S = 60.0
"""How long a starting worker waits for its master to come up."""
DEFAULT_HEARTBEAT_S = 5.0


@dataclass(frozen=True, slots=True)
class MasterLink:
    """How to reach the master."""

    url: str
    token: str | RotatingToken | None
    """Shown to the master; one that rotates is looked for anew with each heartbeat."""
    tls: TlsFiles = field(default_factory=TlsFiles)
    """What an https master is verified by, and the certificate to show it."""


@dataclass(frozen=True, slots=True)
class Census:
    """What a worker has at one moment."""

    env_ids: list[str]
    """Environments that are open or being opened."""
    opening: list[str] = field(default_factory=list)
    """Those that are being opened."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Counters, by name."""


class Announcer:
    """Keeps a master informed about this worker.

    Args:
        link: The master.
        registration: What to register as.
        census: Returns what the worker has now.
        heartbeat_s: Seconds between heartbeats; None takes the master's word.
    """

    def __init__(
        self,
        link: MasterLink,
        registration: Registration,
        census: Callable[[], Census],
        *,
        heartbeat_s: float | None = None,
    ) -> None:
        self._link = link
        self.verify = verify_of(link.tls)
        """What the master is verified by, with this worker's certificate."""
        self._registration = registration
        self._census = census
        self._heartbeat_s = heartbeat_s
        self._sequence = time.time_ns()  # grows across restarts of this worker too
        self._task: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None
        self._secret: str | None = None
        self.master_status = "registered"
        self.draining = False
        self.has_started = False

    def register(self) -> Registered:
        """Register, waiting a while for a master that is still starting.

        Raises:
            StartupFailed: The master cannot be reached, or refuses.
        """
        deadline = time.monotonic() + REGISTER_PATIENCE_S
        with httpx.Client(**self._client_options()) as client:
            while True:
                try:
                    return self._take(client.post("/workers/register", json=self._body()))
                except httpx.HTTPError as error:
                    if (why := self._why_never(error)) is not None:
                        raise StartupFailed(
                            f"the master {self._link.url} cannot be reached: {why}"
                        ) from error
                    if time.monotonic() > deadline:
                        raise StartupFailed(
                            f"the master {self._link.url} cannot be reached: {error}; check --master-url and that it runs"
                        ) from error
                    logger.info("waiting for the master %s: %s", self._link.url, error)
                    time.sleep(1.0)
                except GymQueueError as error:
                    raise StartupFailed(
                        f"the master {self._link.url} refused this worker: {error}"
                    ) from error

    def serve_without_queues(self) -> None:
        """Register again as a worker that takes creates by HTTP: the master has no broker for it."""
        self._registration = self._registration.model_copy(update={"queues": []})
        self.register()

    async def start(self) -> None:
        """Send heartbeats from now on."""
        self.has_started = True
        self._client = httpx.AsyncClient(**self._client_options())
        self._task = asyncio.ensure_future(self._beat())

    async def drain(self) -> None:
        """Ask the master to send no more environments."""
        self.draining = True
        await self._tell("drain", {"worker_id": self._registration.worker_id, "reason": "shutting down"})

    async def stop(self) -> None:
        """Deregister and stop the heartbeats."""
        if self._task is not None:
            self._task.cancel()
        if self._client is None:
            return
        await self._tell("deregister", {"worker_id": self._registration.worker_id, "reason": "shut down"})
        await self._client.aclose()
        self._client = None

    def deregister(self) -> None:
        """Deregister before ``start`` was ever called: the worker failed to come up."""
        body = {"worker_id": self._registration.worker_id, "reason": "failed to start"}
        try:
            httpx.post(
                f"{self._link.url}/workers/deregister",
                json=body,
                headers=self._headers(),
                timeout=CALL_TIMEOUT_S,
                trust_env=False,
                verify=self.verify,
            )
        except httpx.HTTPError as error:
            logger.warning("the master could not be told that this worker did not start: %s", error)

    async def _beat(self) -> None:
        while True:
            try:
                await self._beat_once()
                self.master_status = "registered"
            except (httpx.HTTPError, GymQueueError) as error:
                if self.master_status == "registered":
                    logger.warning("the master %s does not answer: %s; still trying", self._link.url, error)
                self.master_status = "unreachable"
            except Exception:
                logger.exception("a heartbeat failed; the next one is tried all the same")
            await asyncio.sleep(self._heartbeat_s or DEFAULT_HEARTBEAT_S)

    async def _beat_once(self) -> None:
        assert self._client is not None  # noqa: S101  set by start
        token = self._link.token
        if isinstance(token, RotatingToken) and token.refresh():
            self._client.headers = httpx.Headers(self._headers())
        self._sequence += 1
        census = self._census()
        beat = Heartbeat(
            worker_id=self._registration.worker_id,
            env_count=len(census.env_ids),
            env_ids=census.env_ids,
            opening=census.opening,
            metrics=census.metrics,
            pid=os.getpid(),
            cpu_percent=psutil.cpu_percent(),
            memory_percent=psutil.virtual_memory().percent,
            status="draining" if self.draining else "healthy",
            sequence=self._sequence,
        )
        reply = await self._client.post("/workers/heartbeat", json=beat.model_dump(mode="json"))
        if reply.status_code == 404:
            logger.warning("the master does not know this worker any more: registering again")
            census = self._census()
            is_open = [env_id for env_id in census.env_ids if env_id not in census.opening]
            self._registration = self._registration.model_copy(update={"env_ids": is_open})
            self._take(await self._client.post("/workers/register", json=self._body()))
        elif reply.is_error:
            raise _refusal(reply)

    async def _tell(self, call: str, body: dict[str, Any]) -> None:
        if self._client is None:
            return
        try:
            await self._client.post(f"/workers/{call}", json=body, timeout=GOODBYE_TIMEOUT_S)
        except httpx.HTTPError as error:
            logger.warning("the master could not be told to %s this worker: %s", call, error or repr(error))

    def _take(self, reply: httpx.Response) -> Registered:
        if reply.is_error:
            raise _refusal(reply)
        try:
            registered = Registered.model_validate_json(reply.content)
        except ValueError as error:
            raise BadReply(f"what answers at {self._link.url} is not a master: {error}") from error
        self._heartbeat_s = self._heartbeat_s or registered.heartbeat_s
        self._secret = registered.worker_secret
        if self._client is not None:
            self._client.headers = httpx.Headers(self._headers())
        return registered

    def _body(self) -> dict[str, Any]:
        return self._registration.model_dump(mode="json", exclude_none=True)

    def _headers(self) -> dict[str, str]:
        headers = {} if self._secret is None else {SECRET_HEADER: self._secret}
        token = self._link.token
        token = token.current if isinstance(token, RotatingToken) else token
        return {**headers, "Authorization": f"Bearer {token}"} if token else headers

    def _client_options(self) -> dict[str, Any]:
        return {
            "base_url": self._link.url,
            "headers": self._headers(),
            "timeout": CALL_TIMEOUT_S,
            "trust_env": False,
            "verify": self.verify,
        }

    def _why_never(self, error: httpx.HTTPError) -> str | None:
        """Return why no later try will reach the master either; None when one may."""
        url = httpx.URL(self._link.url)
        hung_up = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)
        is_tls = url.scheme == "https"
        if hung_up:
            port = url.port or (443 if is_tls else 80)
            return why_hung_up(url.host, port, self._link.tls, secure=is_tls)
        return explain(error)


def _refusal(reply: httpx.Response) -> GymQueueError:
    try:
        body = reply.json()
    except ValueError:
        body = {}
    return from_wire(reply.status_code, body if isinstance(body, dict) else {})


def describe_worker(
    *,
    worker_id: str,
    url: str,
    port: int,
    max_envs: int,
    max_starting: int,
    usable: Usable,
    queues: list[str],
) -> Registration:
    """Return what this process registers as."""
    metadata = WorkerMetadata(
        available_runners=list(usable.runners),
        runner_details={name: dict(seen) for name, seen in usable.details.items()},
        slurm_job_id=os.environ.get("SLURM_JOB_ID"),
        slurm_array_task_id=os.environ.get("SLURM_ARRAY_TASK_ID"),
        pid=os.getpid(),
    )
    return Registration(
        worker_id=worker_id,
        url=url,
        hostname=socket.gethostname(),
        port=port,
        max_envs=max_envs,
        max_starting=max_starting,
        metadata=metadata,
        queues=queues,
        bears_secret=True,
        resources=Resources(cpu=float(os.cpu_count() or 1), mem_gb=round(read_memory().total / 2**30, 1)),
        version=__version__,
    )


def advertised_host(master_url: str, bound_host: str) -> str:
    """Return the address of this machine that the master can most likely reach.

    Args:
        master_url: A worker that talks to its master over loopback is reached there too.
        bound_host: What the worker listens on; a specific address is advertised as it is.

    Raises:
        ConnectionFailed: The master's name cannot be resolved.
    """
    if bound_host not in ("0.0.0.0", "::", ""):
        return bound_host
    target = httpx.URL(master_url)
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        family, _, _, _, address = socket.getaddrinfo(target.host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)  # sends nothing: asks the kernel which of our addresses it would use
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConnectionFailed(
            f"the master's host {target.host} cannot be resolved or routed to: {error}; check --master-url"
        ) from error
