"""An environment's last replies, so that a call that is repeated is answered again and not carried out again."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b

from gym_queue.errors import Conflict, GymQueueError, RequestInvalid

KEPT_BYTES = 1 << 20
"""Of replies per environment; its last reply is kept however large it is."""
ERROR_BYTES = 1024
"""What an error counts for."""
KEPT_KEYS = 1024
"""Keys per environment that are known to have been used."""
_KEY = re.compile(rb"[!-~]{1,128}")


@dataclass(slots=True)
class _Used:
    """What became of a key."""

    digest: bytes
    outcome: asyncio.Future[bytes] | None
    """None when its reply is no longer kept."""
    size: int = 0


class Replies:
    """Replies of one environment by idempotency key.

    Args:
        max_bytes: Of replies that are kept.
        max_keys: Used keys that are remembered; the oldest are forgotten first.
    """

    def __init__(self, *, max_bytes: int = KEPT_BYTES, max_keys: int = KEPT_KEYS) -> None:
        self._max_bytes, self._max_keys = max_bytes, max_keys
        self._used: OrderedDict[bytes, _Used] = OrderedDict()
        self._size = 0

    def __contains__(self, key: bytes) -> bool:
        """Return whether a call with this key was made, and may still run."""
        return key in self._used

    async def once(
        self, key: bytes, asked: tuple[bytes, ...], work: Callable[[], Awaitable[bytes]]
    ) -> tuple[bytes, bool]:
        """Do the work for the first call with a key; answer the others with what it answered, errors included.

        Args:
            key: 1 to 128 visible ASCII characters, as the client chose it.
            asked: What the call asks, in parts; the same for the same call.
            work: Returns the reply.

        Returns:
            The reply, and whether it is an earlier call's.

        Raises:
            RequestInvalid: The key is not one.
            Conflict: The key was used for another call, or so long ago that its reply is no longer kept.
            GymQueueError: What the work raised, now or then.
        """
        if not _KEY.fullmatch(key):
            raise RequestInvalid("the Idempotency-Key is not 1 to 128 visible ASCII characters: send a UUID")
        digest = _digest(asked)
        used = self._used.get(key)
        if used is None:
            return await self._first(key, digest, work), False
        if used.digest != digest:
            raise Conflict("this Idempotency-Key was used for another call: choose a new key for each call")
        if used.outcome is None:
            raise Conflict(
                "the call with this Idempotency-Key was carried out, and its reply is no longer kept: go on from a new observation"
            )
        return await asyncio.shield(used.outcome), True

    async def _first(self, key: bytes, digest: bytes, work: Callable[[], Awaitable[bytes]]) -> bytes:
        outcome: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        used = self._used[key] = _Used(digest, outcome)
        try:
            reply = await work()
        except GymQueueError as error:
            outcome.set_exception(
                type(error)(error.message, error.details)
            )  # no traceback, which holds the body
            outcome.exception()  # asyncio complains of exceptions that nobody looked at
            self._keep(used, ERROR_BYTES)
            raise
        except BaseException:
            outcome.cancel()
            used.outcome = None
            self._keep(used, 0)
            raise
        outcome.set_result(reply)
        self._keep(used, len(reply))
        return reply

    def _keep(self, last: _Used, size: int) -> None:
        last.size = size
        self._size += size
        for used in self._used.values():
            if self._size <= self._max_bytes:
                break
            if used is not last and used.size:
                self._size -= used.size
                used.outcome, used.size = None, 0
        while len(self._used) > self._max_keys:
            _, used = self._used.popitem(last=False)
            self._size -= used.size


def _digest(parts: tuple[bytes, ...]) -> bytes:
    found = blake2b(digest_size=16)
    for part in parts:
        found.update(b"%d:" % len(part))
        found.update(part)
    return found.digest()
