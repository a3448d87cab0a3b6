"""Leases: while a client lives, its environments are kept; once it is gone, their worker closes them.

A lease is renewed in the background until it is stopped, and no longer than its process lives: asyncio clients renew
in a task of their own loop, blocking ones all from one thread, which no program waits for when it ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import uvloop

from gym_queue.client import calls
from gym_queue.client.http1 import Origin
from gym_queue.client.network import LoopNetwork
from gym_queue.client.transport import Carrier
from gym_queue.errors import EnvLost, GymQueueError

logger = logging.getLogger(__name__)

RENEWALS = 3
"""Renewals in the time of one lease: two may fail."""
MAX_UNKNOWN = 2
"""Replies in a row that the server does not know the call, or the environment, before it is left alone."""

Stop = Callable[[], None]
"""Ends the renewals; from any thread, and as often as one likes."""
KeepLease = Callable[[Carrier, str, float], Stop]
"""Begins to renew the lease, of so many seconds, of the environment with an id, through a carrier to its server."""


async def renew(carrier: Carrier, env_id: str, lease_s: float) -> None:
    """Renew a lease until the environment is gone, or the server turns out not to know leases.

    Args:
        carrier: To the server that was asked for the environment.
        env_id: Which.
        lease_s: Its length in seconds.
    """
    period_s = lease_s / RENEWALS
    unknown, is_complaining = 0, False
    while unknown < MAX_UNKNOWN:
        await asyncio.sleep(period_s * random.uniform(0.8, 1.0))  # noqa: S311  spreads clients out, hides nothing
        try:
            await carrier.send(calls.keepalive(env_id, timeout_s=period_s))
            unknown, is_complaining = 0, False
        except EnvLost as error:
            logger.debug("the lease of %s is not renewed any more: %s", env_id, error)
            return
        except GymQueueError as error:
            if error.details.get("http_status") in (404, 405):
                unknown += 1
                continue
            level = logging.DEBUG if is_complaining else logging.WARNING
            logger.log(level, "the lease of %s could not be renewed, and is tried again: %s", env_id, error)
            is_complaining = True
        except Exception:
            logger.exception("renewing the lease of %s failed, which is a bug", env_id)


def keep_in_task(home: Carrier, env_id: str, lease_s: float) -> Stop:
    """Renew a lease in a task of the running loop; see KeepLease."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(renew(home, env_id, lease_s))

    def stop() -> None:
        with suppress(RuntimeError):  # the loop has ended, and the task with it
            loop.call_soon_threadsafe(task.cancel)

    return stop


def keep_in_thread(home: Carrier, env_id: str, lease_s: float) -> Stop:
    """Renew a lease in this process's thread for that; see KeepLease."""
    return _threads.setdefault(os.getpid(), LeaseThread()).keep(home, env_id, lease_s)


class LeaseThread:
    """Renews leases in one thread, over connections that those of one server share. Starts with the first lease."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._carriers: dict[Origin, Carrier] = {}
        self._leases: Counter[Origin] = Counter()

    def keep(self, home: Carrier, env_id: str, lease_s: float) -> Stop:
        """Renew a lease from now on; see KeepLease."""
        renewing = asyncio.run_coroutine_threadsafe(self._renew(home, env_id, lease_s), self._running_loop())

        def stop() -> None:
            renewing.cancel()

        return stop

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = uvloop.new_event_loop()  # looks names up without threads of its own
                threading.Thread(target=self._loop.run_forever, name="gym-queue-leases", daemon=True).start()
            return self._loop

    async def _renew(self, home: Carrier, env_id: str, lease_s: float) -> None:
        origin = home.origin
        carrier = self._carriers.get(origin)
        if carrier is None:
            carrier = self._carriers[origin] = home.over(LoopNetwork())
        self._leases[origin] += 1
        try:
            await renew(carrier, env_id, lease_s)
        finally:
            self._leases[origin] -= 1
            if not self._leases[origin]:
                del self._leases[origin], self._carriers[origin]
                carrier.close()


_threads: dict[int, LeaseThread] = {}
"""By process id: a forked child has no thread, and starts its own. One for each process is the point of it."""
