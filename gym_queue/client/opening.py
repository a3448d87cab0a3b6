"""Opening an environment: the create call, and what becomes of one that got no answer."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

from gym_queue.client import calls
from gym_queue.client.choice import Choice, EnvSource, TaskSource, choose, judge_variables
from gym_queue.client.http1 import check_url
from gym_queue.client.leases import KeepLease, Stop
from gym_queue.client.network import Network
from gym_queue.client.replies import read_model
from gym_queue.client.retry import Retries
from gym_queue.client.route import Route, RouteMode, check_mode, choose_route
from gym_queue.client.transport import Carrier
from gym_queue.client.trust import Trust
from gym_queue.errors import GymQueueError, Infrastructure, RequestInvalid
from gym_queue.protocol.parse import parse_model
from gym_queue.protocol.sessions import CreateReply, CreateRequest
from gym_queue.settings import find_token

logger = logging.getLogger(__name__)

ABANDON_TIMEOUT_S = 5.0
LEASE_S = 120.0
OnLost = Literal["raise", "recreate"]
SOURCE = ("env_spec", "task_spec", "env_dir", "task_id", "benchmark", "env_name")
"""Keywords that say what to open."""


class Options(TypedDict, total=False):
    """Keywords that every way of opening an environment takes; RemoteGymEnv says what they mean."""

    token: str | None
    runner: str | None
    env_id: str | None
    queue_timeout_s: float | None
    priority: int
    metadata: dict[str, Any] | None
    route: RouteMode
    on_lost: OnLost
    lease_s: float | None
    ssl_ca: str | Path | None


class MoreOptions(Options, total=False):
    """Those that RemoteGymEnv takes by position too."""

    timeout: float
    worker_reset_policy: str | None
    verifier_env: Mapping[str, Any] | None
    fast_io: bool


class Everything(MoreOptions, total=False):
    """All keywords of RemoteGymEnv but ``remote_url``."""

    env_spec: EnvSource | None
    task_spec: TaskSource | None
    env_dir: str | Path | None
    task_id: str | None
    benchmark: str | None
    env_name: str | None


@dataclass(frozen=True, slots=True)
class Opening:
    """All it takes to open an environment, or another in its place when it is lost."""

    home: Carrier
    """To the server that is asked for it."""
    request: CreateRequest
    choice: Choice
    timeout_s: float
    reset_policy: str | None
    mode: RouteMode
    on_lost: OnLost
    keep: KeepLease

    async def open(self) -> Opened:
        """Open it; when that fails without an answer, close what may have been opened."""
        return await self._open(self.request, connect_s=calls.CREATE_CONNECT_S)

    async def again(self) -> Opened:
        """Open another one like it, under an id of its own; errors as ``open``."""
        request = self.request.model_copy(update={"env_id": str(uuid.uuid4())})
        return await self._open(request, connect_s=self.timeout_s)

    async def _open(self, request: CreateRequest, *, connect_s: float) -> Opened:
        reply = None
        try:
            call = calls.create(request, timeout_s=self.timeout_s, connect_s=connect_s)
            reply = read_model(CreateReply, await self.home.send(call))
            route = await choose_route(self.mode, self.home, reply)
        except BaseException as error:
            may_live = isinstance(error, (Infrastructure, KeyboardInterrupt, asyncio.CancelledError))
            if reply is not None or may_live:
                await _abandon(self.home, str(request.env_id))
            raise
        lease_s = request.lease_s
        stop = _nothing if lease_s is None else self.keep(self.home, reply.env_id, lease_s)
        return Opened(self, reply, route, stop)


@dataclass(frozen=True, slots=True)
class Opened:
    """An environment that was opened."""

    opening: Opening
    reply: CreateReply
    route: Route
    stop_lease: Stop

    @property
    def knows_keys(self) -> bool:
        """Whether it is served by a worker that carries a call out once, however often it comes with the same key.

        Workers of this package give each environment a token; others know neither tokens nor keys.
        """
        return self.reply.env_token is not None


def _nothing() -> None:
    """End renewals that never began."""


async def open_env(
    network: Network,
    keep: KeepLease,
    remote_url: str,
    *,
    timeout: float = 300,  # noqa: ASYNC109  the keyword of Gym-Anything's users, in seconds
    worker_reset_policy: str | None = "core",
    token: str | None = None,
    route: RouteMode = "master",
    on_lost: OnLost = "raise",
    ssl_ca: str | Path | None = None,
    **options: Any,
) -> Opened:
    """Open an environment.

    Args:
        network: How to wait.
        keep: How to renew its lease.
        remote_url, timeout, worker_reset_policy, token, route, on_lost, ssl_ca: As RemoteGymEnv takes them.
        options: What to open, as ``choose`` takes it; and those of ``build_request``.
    """
    if not timeout > 0:
        raise RequestInvalid(f"timeout is {timeout!r}: give a number of seconds above 0")
    if on_lost not in get_args(OnLost):
        raise RequestInvalid(f"on_lost is {on_lost!r}: give 'raise' or 'recreate'")
    check_mode(route)
    url = check_url(remote_url)
    source = {name: options.pop(name) for name in SOURCE if name in options}
    choice = await network.offload(lambda: choose(**source))  # reads files
    request = build_request(choice, **options)
    given = await network.offload(find_token) if token is None else token
    home = Carrier(url, given, network, trust=Trust(ssl_ca))
    opening = Opening(home, request, choice, timeout, worker_reset_policy, route, on_lost, keep)
    try:
        return await opening.open()
    except BaseException:
        home.close()
        raise


def build_request(
    choice: Choice,
    *,
    env_id: str | None = None,
    runner: str | None = None,
    verifier_env: Mapping[str, Any] | None = None,
    lease_s: float | None = LEASE_S,
    **options: Any,
) -> CreateRequest:
    """Return the create request for a choice.

    Args:
        choice: What to open.
        env_id: Its name; None makes a UUID.
        runner: Overrides the spec's.
        verifier_env: None takes those of ``judge_variables`` from this process.
        lease_s: Seconds without a sign of life from this client after which the environment is closed; None is never.
        options: Further fields of CreateRequest.

    Raises:
        RequestInvalid: A field is not valid.
    """
    variables = judge_variables(choice.task_spec, os.environ) if verifier_env is None else verifier_env
    fields = {
        **choice.fields,
        **options,
        "env_id": env_id or str(uuid.uuid4()),
        "runner": choice.runner(runner),
        "lease_s": lease_s,
        "verifier_env": {str(key): str(value) for key, value in variables.items() if value is not None},
    }
    return parse_model(CreateRequest, fields)


async def _abandon(home: Carrier, env_id: str) -> None:
    try:
        await home.send(calls.close(env_id, timeout_s=ABANDON_TIMEOUT_S, retries=Retries(connect_s=0)))
    except GymQueueError as error:
        logger.debug("nothing to close after the create that failed: %s", error)
