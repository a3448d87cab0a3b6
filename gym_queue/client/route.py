"""Which way an environment's calls go: through the master, or straight to its worker."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from gym_queue.client import calls
from gym_queue.client.calls import Call
from gym_queue.client.http1 import check_url
from gym_queue.client.retry import Retries
from gym_queue.client.transport import Carrier
from gym_queue.errors import ConnectionFailed, GymQueueError, NotSupported, RequestInvalid
from gym_queue.protocol.sessions import CreateReply

logger = logging.getLogger(__name__)

T = TypeVar("T")

RouteMode = Literal["master", "worker", "auto"]
PROBE_TIMEOUT_S = 1.0
"""A worker that ``auto`` may use answers within this."""


class Route:
    """Carries an environment's calls.

    Args:
        home: The server that was asked for the environment; creates and closes always go there.
        straight: The worker; None sends everything to ``home``.
        fall_back: When the worker can no longer be connected to, go on through ``home``.
    """

    def __init__(self, home: Carrier, straight: Carrier | None = None, *, fall_back: bool = False) -> None:
        self.network = home.network
        self._home = home
        self._straight = straight
        self._fall_back = fall_back

    @property
    def is_straight(self) -> bool:
        """Whether calls go straight to the worker."""
        return self._straight is not None

    async def send(self, call: Call) -> dict[str, Any]:
        """See Carrier.send."""
        return await self._carry(call, Carrier.send)

    async def read(self, call: Call) -> bytes:
        """See Carrier.read."""
        return await self._carry(call, Carrier.read)

    async def download(self, call: Call, target: Path) -> None:
        """See Carrier.download."""
        await self._carry(call, lambda carrier, call: carrier.download(call, target))

    async def end(self, env_id: str) -> None:
        """Close the environment, through ``home``, and then all connections."""
        try:
            await self._home.send(calls.close(env_id))
        finally:
            for carrier in (self._straight, self._home):
                if carrier is not None:
                    carrier.close()

    async def _carry(self, call: Call, carry: Callable[[Carrier, Call], Awaitable[T]]) -> T:
        straight = self._straight
        if straight is None:
            return await carry(self._home, call)
        if not self._fall_back:
            return await carry(straight, call)
        try:
            return await carry(straight, replace(call, retries=replace(call.retries, connect_s=0.0)))
        except ConnectionFailed as error:
            if error.details["sent"]:
                raise
            logger.info("the worker is out of reach, calls go through %s: %s", self._home.url, error)
            self._straight = None
            straight.close()
        return await carry(self._home, call)


def check_mode(mode: str) -> None:
    """See that a route is one.

    Raises:
        RequestInvalid: It is not.
    """
    if mode not in get_args(RouteMode):
        raise RequestInvalid(f"route is {mode!r}: give 'master', 'worker' or 'auto'")


async def choose_route(mode: RouteMode, home: Carrier, reply: CreateReply) -> Route:
    """Return the way an environment's calls go.

    Args:
        mode: ``master``; ``worker``; or ``auto``: the worker if it answers quickly, else the master.
        home: What the environment was opened through.
        reply: What it said.

    Raises:
        NotSupported: ``worker``, and the reply names none.
    """
    if mode == "master":
        return Route(home)
    try:
        straight = _worker_of(home, reply)
    except NotSupported:
        if mode == "worker":
            raise
        return Route(home)
    if mode == "worker" or await _answers(straight, reply.env_id):
        return Route(home, straight, fall_back=mode == "auto")
    straight.close()
    return Route(home)


def _worker_of(home: Carrier, reply: CreateReply) -> Carrier:
    try:
        return Carrier(check_url(reply.worker_url or ""), reply.env_token or "", home.network)
    except RequestInvalid:
        raise NotSupported(
            f"{home.url} gave {reply.worker_url!r} as the environment's worker: use route='master'"
        ) from None


async def _answers(worker: Carrier, env_id: str) -> bool:
    """Whether the worker is in reach: a server of that address may well be another one, so ask for the environment."""
    call = Call("GET", calls.env_path(env_id, "session_info"), PROBE_TIMEOUT_S, Retries(connect_s=0.0))
    try:
        await worker.send(call)
    except GymQueueError as error:
        logger.info("the worker at %s is not in reach, calls go through the master: %s", worker.url, error)
        return False
    return True
