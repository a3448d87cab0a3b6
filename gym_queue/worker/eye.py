"""The worker's looks at its environments: beside the calls that agents make, which they neither touch nor wait for."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gym_queue.errors import EnvLost, EnvTimeout, QuotaExceeded, RunnerFailed
from gym_queue.worker.host import Host
from gym_queue.worker.live import LiveEnv

LOOKS_PER_ENV = 16
"""Looks at one environment at once."""
DRAWN_AT_ONCE = max(4, 2 * (os.cpu_count() or 1))
"""Environments of a worker that draw a picture at once."""
TURN_S = 0.5
"""Who draws for longer waits for something else than a processor."""
LOOK_TIMEOUT_S = 5.0
EXIT_S = 1.0
RETRY_S = 1


@dataclass(frozen=True, slots=True)
class Look:
    """What an environment shows."""

    tag: str
    """A strong ETag."""
    at: float
    """The moment it shows, in unix seconds."""
    size: tuple[int, int]
    """width, height in pixels of the whole screen; (0, 0) of text."""
    kind: Literal["jpeg", "png", "text"]
    body: bytes | None
    """None when the caller has it already."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an environment's episode is kept."""

    folder: Path | None
    """None before the first reset."""
    state: str
    unwritten: dict[str, int]
    """Frames that are no files yet, with their sizes in bytes; ``fetch_path`` makes files of them."""


class Eyes:
    """Looks at environments; renews no lease, and is no use of them.

    Args:
        host: The environments.
        timeout_s: Longest that a look waits.
    """

    def __init__(self, host: Host, *, timeout_s: float = LOOK_TIMEOUT_S) -> None:
        self._host, self._timeout_s = host, timeout_s
        self._counts: Counter[str] = Counter()
        self._drawing = asyncio.Semaphore(DRAWN_AT_ONCE)

    async def look(self, env_id: str, width_px: int, kind: str, *, known: Sequence[str] = ()) -> Look:
        """Return what an environment's screen shows now.

        Args:
            env_id: The environment.
            width_px: Of the picture.
            kind: jpeg or png.
            known: ETags of what the caller has.

        Raises:
            EnvNotFound, EnvLost: As ``Host.get``.
            EnvState: There is nothing to see before the first reset.
            NotSupported: It shows neither a screen nor text.
            QuotaExceeded: Too many look at it at once.
            RunnerFailed: Its sandbox is gone, or did not answer in time.
        """
        env = self._host.get(env_id)
        arguments = {
            "width": width_px,
            "format": kind,
            "known": list(known),
            "until": time.monotonic() + self._timeout_s,
        }
        with self._counted(env_id):
            async with _in_time(env, self._timeout_s), env.looking:
                found = await self._draw(env, arguments)
        return Look(**{**found, "size": tuple(found["size"])})

    async def place(self, env_id: str) -> Place:
        """Return where an environment's running or last episode is kept; raises as ``look``."""
        env = self._host.get(env_id)
        with self._counted(env_id):
            async with _in_time(env, self._timeout_s):
                found = await self._ask(env, "place", {})
        folder = found["episode_dir"]
        return Place(Path(folder) if folder else None, found["state"], found["unwritten"])

    async def _draw(self, env: LiveEnv, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask for a picture when it is this environment's turn, which one that hangs does not keep from the others."""
        async with self._drawing:
            asking = asyncio.ensure_future(self._ask(env, "look", arguments))
            try:
                await asyncio.wait({asking}, timeout=TURN_S)
            except asyncio.CancelledError:
                asking.cancel()
                raise
        return await asking

    async def _ask(self, env: LiveEnv, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        process = env.process
        assert process is not None  # noqa: S101  Host.get has checked it
        try:
            eye = await asyncio.shield(process.eye)
            found: dict[str, Any] | None = await eye.call(operation, arguments, timeout_s=self._timeout_s)
        except EnvLost as error:
            await asyncio.wait({process.exited}, timeout=EXIT_S)  # its end may be told in a moment
            if env.ending or process.is_gone:
                raise _closed(env) from error
            raise RunnerFailed(
                f"environment {env.env_id} cannot be watched any more: its eye broke"
            ) from error
        if found is None:
            raise TimeoutError
        return found

    @contextmanager
    def _counted(self, env_id: str) -> Iterator[None]:
        if self._counts[env_id] >= LOOKS_PER_ENV:
            raise QuotaExceeded(
                f"{LOOKS_PER_ENV} requests look at environment {env_id} already, as many as may at once: ask again in a moment",
                {"retry_after_s": RETRY_S},
            )
        self._counts[env_id] += 1
        try:
            yield
        finally:
            self._counts[env_id] -= 1
            if not self._counts[env_id]:
                del self._counts[env_id]


@asynccontextmanager
async def _in_time(env: LiveEnv, timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (TimeoutError, EnvTimeout, RunnerFailed) as error:
        if env.ending:
            raise _closed(env) from error
        if isinstance(error, RunnerFailed):
            raise
        raise RunnerFailed(
            f"environment {env.env_id} showed nothing within {timeout_s:g} s: look again in a moment"
        ) from error


def _closed(env: LiveEnv) -> EnvLost:
    return EnvLost(f"environment {env.env_id} was closed while it was watched", {"env_id": env.env_id})
