"""Carries calls to a server: connections, deadlines, repetitions, and httpx's errors made ours."""

from __future__ import annotations

import logging
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from gym_queue.client.calls import Call
from gym_queue.client.replies import Reply, check, read_object
from gym_queue.client.retry import BRIEF, Patience
from gym_queue.errors import BadReply, ConnectionFailed, GatewayTimeout, Infrastructure, RequestInvalid
from gym_queue.version import __version__

logger = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_TIMEOUT_S = 10.0
MIN_TIMEOUT_S = 0.001
KEEPALIVE_S = 60.0
"""Our servers keep an idle connection for 75 s: ours ends first, and no request meets a closing one."""
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""What httpx raises before a byte of the request was sent."""


def check_url(url: str) -> str:
    """Return a server's URL without a slash at its end.

    Raises:
        RequestInvalid: It is not http(s)://host[:port][/path].
    """
    try:
        parsed = httpx.URL(url.strip())
        valid = parsed.scheme in ("http", "https") and bool(parsed.host)
    except (httpx.InvalidURL, AttributeError, TypeError):
        valid = False
    if not valid:
        raise RequestInvalid(f"the remote URL {url!r} is not valid: write http://host:5800")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise RequestInvalid(
            "the remote URL has a user, a query or a fragment: write http://host:5800, and give token="
        )
    return str(parsed).rstrip("/")


class Transport:
    """A server, reached over kept-alive connections. Safe to use from several threads.

    Args:
        url: Of ``check_url``.
        token: Sent as bearer token; None sends none.
        sleep: Pauses between repetitions, in seconds.
        clock: Monotonic time, in seconds.

    Raises:
        RequestInvalid: The token cannot be sent.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._sleep = sleep
        self._clock = clock
        headers = {"User-Agent": f"gym-queue/{__version__}", "Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {_check_token(token)}"
        self._client = httpx.Client(
            headers=headers,
            verify=_trust(url),
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(keepalive_expiry=KEEPALIVE_S),
        )

    def send(self, call: Call) -> dict[str, Any]:
        """Make a call and return the object it is answered with.

        Raises:
            GymQueueError: The error reply, as its own class.
            BadReply: The answer is not of the protocol.
            ConnectionFailed: The server cannot be reached, or hung up.
            GatewayTimeout: No answer within ``call.timeout_s``.
        """
        return self._repeat(call, lambda timeout_s: read_object(self._exchange(call, timeout_s)))

    def read(self, call: Call) -> bytes:
        """Make a call and return the bytes it is answered with; raises as ``send``."""

        def attempt(timeout_s: float) -> bytes:
            reply = self._exchange(call, timeout_s)
            check(reply)
            return reply.body

        return self._repeat(call, attempt)

    def download(self, call: Call, target: Path) -> None:
        """Make a call and write its answer to a file, which appears only when it is whole; raises as ``send``."""
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            self._repeat(call, lambda timeout_s: self._stream(call, timeout_s, partial))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _repeat(self, call: Call, attempt: Callable[[float], T]) -> T:
        """Attempt until it succeeds, fails for good, or time is up: the call's, or its patience."""
        started = self._clock()
        patience = Patience(call.retries, started=started, timeout_s=call.timeout_s)
        while True:
            try:
                return attempt(max(MIN_TIMEOUT_S, call.timeout_s - (self._clock() - started)))
            except Infrastructure as error:
                delay_s = patience.pause_s(error, self._clock())
                if delay_s is None:
                    raise
                logger.info("%s %s is tried again in %.2f s: %s", call.method, call.path, delay_s, error)
            self._sleep(delay_s)

    def _exchange(self, call: Call, timeout_s: float) -> Reply:
        request = self._build(call, timeout_s)
        with self._translated(call, request):
            return _whole(self._client.send(request))

    def _stream(self, call: Call, timeout_s: float, target: Path) -> None:
        request = self._build(call, timeout_s)
        with self._translated(call, request):
            response = self._client.send(request, stream=True)
            try:
                if response.status_code != 200:
                    response.read()
                    check(_whole(response))
                with target.open("wb") as file:
                    for chunk in response.iter_bytes():
                        file.write(chunk)
            finally:
                response.close()

    def _build(self, call: Call, timeout_s: float) -> httpx.Request:
        return self._client.build_request(
            call.method,
            self._url + call.path,
            content=call.body,
            params=call.query or None,
            headers={"Accept": call.accept, "X-Request-ID": uuid.uuid4().hex},
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        )

    @contextmanager
    def _translated(self, call: Call, request: httpx.Request) -> Iterator[None]:
        """Make httpx's errors ours."""
        facts = {"request_id": request.headers["X-Request-ID"]}
        what = f"{call.method} {self._url}{call.path}"
        try:
            yield
        except UNSENT as error:
            raise ConnectionFailed(
                f"cannot connect to {self._url} ({error}): is the master running? ask `gym-anything status`",
                {**facts, "sent": False},
            ) from error
        except httpx.TimeoutException as error:
            raise GatewayTimeout(
                f"{what} had no answer within {call.timeout_s:g} s: give a longer timeout", facts
            ) from error
        except httpx.TransportError as error:
            raise ConnectionFailed(
                f"{what}: the connection broke ({error}); the call may or may not have been carried out",
                {**facts, "sent": True},
            ) from error
        except httpx.DecodingError as error:
            raise BadReply(f"{what}: the answer's encoding is broken: {error}", facts) from error


def check_server(url: str) -> None:
    """See that a master or worker answers at a URL.

    Raises:
        RequestInvalid: The URL is not one.
        ConnectionFailed: Nothing answers there.
    """
    transport = Transport(check_url(url), None)
    try:
        transport.send(Call("GET", "/health", timeout_s=CONNECT_TIMEOUT_S, retries=BRIEF))
    finally:
        transport.close()


def _check_token(token: str) -> str:
    stripped = token.strip()
    if not stripped.isascii() or not stripped.isprintable():
        raise RequestInvalid(
            "the token holds characters that no token has: copy it again, or delete the token file"
        )
    return stripped


def _whole(response: httpx.Response) -> Reply:
    return Reply(
        response.status_code,
        response.headers.get("content-type", ""),
        response.content,
        response.headers.get("x-request-id") or response.request.headers["X-Request-ID"],
    )


def _trust(url: str) -> ssl.SSLContext:
    """Return whom to trust: loading the system's certificates takes tens of milliseconds that http needs not."""
    if url.startswith("https:"):
        return ssl.create_default_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
