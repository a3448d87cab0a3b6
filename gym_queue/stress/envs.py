"""Null environments over the wire: their calls, and a set of them that is closed again."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass

from gym_queue.errors import GymQueueError
from gym_queue.protocol.observations import MSGPACK_TYPE
from gym_queue.stress.load import together
from gym_queue.stress.plan import Target
from gym_queue.stress.wire import Caller, make_request

OPENERS = 16
"""Environments opened or closed at once before and after a measurement."""
STEP = json.dumps(
    {
        "actions": [{"keyboard": {"keys": "a"}}],
        "wait_between_actions": 0,
        "settle_after_actions": False,
    }
).encode()


@dataclass(frozen=True, slots=True)
class Env:
    """An open environment."""

    env_id: str
    worker_url: str
    took_s: float
    """What its create took."""
    open_s: float | None
    """What its worker needed for it; None when the reply does not say."""


class Calls:
    """The bytes of an environment's calls.

    Args:
        target: The fleet: its token and the environments' spec.
    """

    def __init__(self, target: Target) -> None:
        self._token = target.token
        self._spec = target.spec

    def create(self, env_id: str) -> bytes:
        """Return a create's request."""
        body = json.dumps({"env_id": env_id, "env_spec": self._spec, "runner": "fake"}).encode()
        return make_request("POST", "/envs/create", token=self._token, body=body)

    def get(self, path: str) -> bytes:
        """Return the request of something that is read."""
        return make_request("GET", path, token=self._token)

    def reset(self, env_id: str) -> bytes:
        """Return a reset's request."""
        return self._call(env_id, "reset", b"{}")

    def step(self, env_id: str) -> bytes:
        """Return the request of a step with one action that waits for nothing."""
        return self._call(env_id, "step", STEP)

    def close(self, env_id: str) -> bytes:
        """Return a close's request."""
        return self._call(env_id, "close", b"")

    def _call(self, env_id: str, call: str, body: bytes) -> bytes:
        path = f"/envs/{env_id}/{call}"
        return make_request("POST", path, token=self._token, body=body, accept=MSGPACK_TYPE)


async def create(caller: Caller, calls: Calls, env_id: str | None = None) -> Env:
    """Create an environment, through a master or straight on a worker.

    Raises:
        GymQueueError: It was refused, or the server is gone.
    """
    request = calls.create(env_id or str(uuid.uuid4()))
    start = time.perf_counter()
    reply = (await caller.ask(request)).check().json()
    took_s = time.perf_counter() - start
    open_s = reply.get("open_s")
    return Env(
        env_id=str(reply["env_id"]),
        worker_url=str(reply["worker_url"]).rstrip("/"),
        took_s=took_s,
        open_s=float(open_s) if open_s else None,
    )


async def close_all(target: Target, env_ids: Iterable[str]) -> None:
    """Close environments; those that are gone already are passed over."""
    calls = Calls(target)
    left = list(env_ids)

    async def closer() -> None:
        with closing(Caller(target.master_url)) as caller:
            while left:
                with suppress(GymQueueError):
                    await caller.ask(calls.close(left.pop()))

    await together(closer() for _ in range(min(OPENERS, len(left))))


@asynccontextmanager
async def open_envs(target: Target, count: int) -> AsyncIterator[Sequence[Env]]:
    """Yield environments that are created and reset, and close them after the block.

    Raises:
        GymQueueError: One of them could not be opened.
    """
    calls, found = Calls(target), list[Env]()
    left = iter(range(count))

    async def opener() -> None:
        with closing(Caller(target.master_url)) as caller:
            for _ in left:
                env = await create(caller, calls)
                found.append(env)
                (await caller.ask(calls.reset(env.env_id))).check()

    try:
        await together(opener() for _ in range(min(OPENERS, count)))
        yield found
    finally:
        await close_all(target, [env.env_id for env in found])
