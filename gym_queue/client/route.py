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
from gym_queue.client.transport import MIN_TIMEOUT_S, Carrier
from gym_queue.errors import ConnectionFailed, EnvLost, GymQueueError, NotSupported, RequestInvalid, TlsFailed
from gym_queue.protocol.sessions import CreateReply

logger = logging.getLogger(__name__)

T = TypeVar("T")

RouteMode = Literal["master", "worker", "auto"]
PROBE_TIMEOUT_S = 1.0
"""A worker that ``auto`` may use answers within this."""
WORKER_CONNECT_S = 1.0
"""A worker that refuses connections for so long is probably gone: ask the master."""
WORKER_PATIENCE_S = 30.0
"""A worker that refuses connections for so long is gone, whatever the master says."""
NEVER = Retries(connect_s=0.0)


class Route:
    """Carries an environment's calls.

    Args:
        home: The server that was asked for the environment; creates and closes always go there.
        env_id: The environment.
        straight: The worker; None sends everything to ``home``.
        fall_back: When the worker can no longer be connected to, go on through ``home``.
    """

    def __init__(
        self, home: Carrier, env_id: str, straight: Carrier | None = None, *, fall_back: bool = False
    ) -> None:
        self.network = home.network
        self._home = home
        self._env_id = env_id
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

    async def upload(self, call: Call, source: Path) -> dict[str, Any]:
        """See Carrier.upload."""
        return await self._carry(call, lambda carrier, call: carrier.upload(call, source))

    async def end(self) -> None:
        """Close the environment, through ``home``, and then all connections."""
        try:
            await self._home.send(calls.close(self._env_id))
        finally:
            self.leave()
            self._home.close()

    def leave(self) -> None:
        """Close the connections to the worker."""
        if self._straight is not None:
            self._straight.close()

    async def _carry(self, call: Call, carry: Callable[[Carrier, Call], Awaitable[T]]) -> T:
        straight = self._straight
        if straight is None:
            return await carry(self._home, call)
        until = self._home.now() + call.timeout_s
        if not self._fall_back:
            return await self._carry_straight(call, carry, straight, until)
        try:
            return await carry(straight, replace(call, retries=replace(call.retries, connect_s=0.0)))
        except ConnectionFailed as error:
            if error.details.get("sent", True):
                raise
            logger.info("the worker is out of reach, calls go through %s: %s", self._home.url, error)
            self._straight = None
            straight.close()
        return await carry(self._home, replace(call, timeout_s=max(MIN_TIMEOUT_S, until - self._home.now())))

    async def _carry_straight(
        self, call: Call, carry: Callable[[Carrier, Call], Awaitable[T]], straight: Carrier, until: float
    ) -> T:
        """Carry a call to the worker alone; while it is out of reach, ask ``home`` whether it is gone."""
        brief = replace(
            call.retries,
            connect_s=min(call.retries.connect_s, WORKER_CONNECT_S),
            reply_s=min(call.retries.reply_s, WORKER_CONNECT_S),
        )
        give_up = min(until, self._home.now() + WORKER_PATIENCE_S)
        while True:
            left_s = max(MIN_TIMEOUT_S, until - self._home.now())
            try:
                return await carry(straight, replace(call, retries=brief, timeout_s=left_s))
            except ConnectionFailed as error:
                if error.details.get("sent", True) or isinstance(error, TlsFailed):
                    raise
                await self._check_lost(error)
                if self._home.now() >= give_up:
                    raise

    async def _check_lost(self, failure: ConnectionFailed) -> None:
        """Raise EnvLost if ``home`` knows that the environment is lost: its worker, out of reach, cannot say so."""
        asked = replace(calls.get(self._env_id, "session_info", timeout_s=PROBE_TIMEOUT_S), retries=NEVER)
        try:
            await self._home.send(asked)
        except EnvLost as lost:
            raise lost from failure
        except GymQueueError as error:
            logger.info("%s does not know what became of the environment: %s", self._home.url, error)


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
        return Route(home, reply.env_id)
    try:
        straight = _worker_of(home, reply)
    except NotSupported:
        if mode == "worker":
            raise
        return Route(home, reply.env_id)
    if mode == "worker" or await _answers(straight, reply.env_id):
        return Route(home, reply.env_id, straight, fall_back=mode == "auto")
    straight.close()
    return Route(home, reply.env_id)


def _worker_of(home: Carrier, reply: CreateReply) -> Carrier:
    try:
        return Carrier(
            check_url(reply.worker_url or ""), reply.env_token or "", home.network, trust=home.trust
        )
    except RequestInvalid:
        raise NotSupported(
            f"{home.url} gave {reply.worker_url!r} as the environment's worker: use route='master'"
        ) from None


async def _answers(worker: Carrier, env_id: str) -> bool:
    """Whether the worker is in reach: a server of that address may well be another one, so ask for the environment."""
    call = Call("GET", calls.env_path(env_id, "session_info"), PROBE_TIMEOUT_S, NEVER)
    try:
        await worker.send(call)
    except GymQueueError as error:
        logger.info("the worker at %s is not in reach, calls go through the master: %s", worker.url, error)
        return False
    return True
