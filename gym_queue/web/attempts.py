"""Wrong tokens cost time: answers to them come later and later, by the address they come from."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FREE = 3
"""Wrong tokens in a row that cost nothing: people mistype."""
FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 2.0
FORGET_S = 60.0
"""How long an address must send no wrong token to be as good as new."""
ADDRESSES = 4096
"""Addresses that are remembered; the one that failed longest ago goes first."""
WAITING = 8
"""Answers of one address that are held back at once; the connections of further ones are closed instead."""


class Attempts:
    """Counts failed attempts by address. Lives on one loop.

    A right token is never held back: whoever shares an address with a guesser does not notice.

    Args:
        clock: Monotonic seconds.
        pause: Waits so many seconds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock, self._pause = clock, pause
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._waiting: Counter[str] = Counter()

    async def failed(self, address: str) -> bool:
        """Count a failed attempt, and wait for what it costs.

        Returns:
            Whether it waited; False when so many of this address wait already that its connection should end.
        """
        known_as = _network_of(address)
        delay_s = self._count(known_as)
        if self._waiting[known_as] >= WAITING:
            return False
        self._waiting[known_as] += 1
        try:
            if delay_s:
                await self._pause(delay_s)
        finally:
            self._waiting[known_as] -= 1
            if not self._waiting[known_as]:
                del self._waiting[known_as]
        return True

    def count(self, address: str) -> int:
        """Return how many attempts of an address failed lately."""
        return self._failed.get(_network_of(address), (0, 0.0))[0]

    def _count(self, known_as: str) -> float:
        """Count a failure; return how long its answer is held back, in seconds."""
        now = self._clock()
        failures, last = self._failed.pop(known_as, (0, now))
        failures = 1 if now - last > FORGET_S else failures + 1
        self._failed[known_as] = failures, now
        while len(self._failed) > ADDRESSES:
            self._failed.popitem(last=False)
        exponent = min(failures - FREE - 1, 10)
        return 0.0 if exponent < 0 else float(min(FIRST_DELAY_S * 2**exponent, LONGEST_DELAY_S))


class AttemptsMiddleware:
    """Holds back every reply that refuses a wrong token; who sends none guesses nothing.

    Args:
        app: What is behind it.
        attempts: Counts them.
        login_paths: Calls that take a token in their body.
        page_paths: Pages that take one in their query, and answer a wrong one with a redirect to ``login=wrong``.
    """

    def __init__(
        self,
        app: ASGIApp,
        attempts: Attempts,
        *,
        login_paths: frozenset[str] = frozenset({"/dashboard/login"}),
        page_paths: frozenset[str] = frozenset({"/", "/dashboard"}),
    ) -> None:
        self._app, self._attempts = app, attempts
        self._login_paths, self._page_paths = login_paths, page_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not self._guesses(scope):
            await self._app(scope, receive, send)
            return
        address = (scope.get("client") or ("", 0))[0]

        async def reply(message: Message) -> None:
            if _refuses(message) and not await self._attempts.failed(address):
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, reply)

    def _guesses(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        if "authorization" in headers or "cookie" in headers or scope["path"] in self._login_paths:
            return True
        return scope["path"] in self._page_paths and bool(scope["query_string"])


def _refuses(message: Message) -> bool:
    if message["type"] != "http.response.start":
        return False
    location = Headers(raw=message.get("headers", [])).get("location", "")
    return message["status"] == 401 or (message["status"] == 303 and location.endswith("login=wrong"))


def _network_of(address: str) -> str:
    """Return what is held to be one sender: an IPv4 address, or the /64 that one IPv6 host may choose from."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
