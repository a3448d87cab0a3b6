"""Carries calls to a server: connections, deadlines, repetitions, and the network's errors made ours."""

from __future__ import annotations

import errno
import logging
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httptools

from gym_queue.client.calls import Call
from gym_queue.client.http1 import ReplyReader, check_url, make_origin, write_request
from gym_queue.client.network import BlockingNetwork, Network, Stream, run_now
from gym_queue.client.replies import Reply, check, read_object
from gym_queue.client.retry import BRIEF, Patience
from gym_queue.client.sources import SourceFile, open_source
from gym_queue.client.trust import Trust
from gym_queue.errors import BadReply, ConnectionFailed, GatewayTimeout, Infrastructure, TlsFailed
from gym_queue.settings import find_token
from gym_queue.tls import explain, why_hung_up

__all__ = ["Carrier", "Transport", "check_server", "check_url"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_TIMEOUT_S = 10.0
MIN_TIMEOUT_S = 0.001
TELL_AFTER_S = 5.0
"""A call that is repeated for so long says so in a warning, once: somebody may wonder why nothing happens."""
KEEPALIVE_S = 60.0
"""Our servers keep an idle connection for 75 s: ours ends first, and no request meets a closing one."""


class Carrier:
    """A server, reached over kept-alive connections. Over a blocking network, safe to use from several threads.

    Args:
        url: Of ``check_url``.
        token: Sent as bearer token; None sends none.
        network: How to wait.
        trust: What https servers are verified by; None is a Trust without a CA of its own.
        clock: Monotonic time, in seconds.

    Raises:
        RequestInvalid: The token cannot be sent.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        network: Network,
        *,
        trust: Trust | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self.network = network
        self._clock = clock
        self.origin = make_origin(url, token)
        self.trust = trust or Trust()
        self._idle: deque[tuple[Stream, float]] = deque()
        self._closed = False
        self._opened = 0

    def over(self, network: Network) -> Carrier:
        """Return another carrier to the same server, with connections of its own."""
        other = Carrier(self.url, None, network, trust=self.trust, clock=self._clock)
        other.origin = self.origin
        return other

    def now(self) -> float:
        """Return the time by which deadlines are kept."""
        return self._clock()

    async def send(self, call: Call) -> dict[str, Any]:
        """Make a call and return the object it is answered with.

        Raises:
            GymQueueError: The error reply, as its own class.
            BadReply: The answer is not of the protocol.
            ConnectionFailed: The server cannot be reached, or hung up.
            GatewayTimeout: No answer within ``call.timeout_s``.
        """

        async def attempt(timeout_s: float) -> dict[str, Any]:
            return read_object(await self._exchange(call, timeout_s))

        return await self._repeat(call, attempt)

    async def read(self, call: Call) -> bytes:
        """Make a call and return the bytes it is answered with; raises as ``send``."""

        async def attempt(timeout_s: float) -> bytes:
            reply = await self._exchange(call, timeout_s)
            check(reply)
            return reply.body

        return await self._repeat(call, attempt)

    async def download(self, call: Call, target: Path) -> None:
        """Make a call and write its answer to a file, which appears only when it is whole; raises as ``send``.

        ``call.timeout_s`` limits the wait for each part of the file, not the whole of it.
        """
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        offload = self.network.offload

        async def attempt(timeout_s: float) -> None:
            file = await offload(lambda: partial.open("wb"))
            try:
                check(await self._exchange(call, timeout_s, lambda part: offload(lambda: file.write(part))))
            finally:
                await offload(file.close)

        try:
            await self._repeat(call, attempt)
            await offload(lambda: partial.replace(target))
        finally:
            await offload(lambda: partial.unlink(missing_ok=True))

    async def upload(self, call: Call, source: Path) -> dict[str, Any]:
        """Make a call whose body is a file, sent as it is read, and return the object it is answered with.

        ``call.timeout_s`` limits the wait for each part to be taken and for the answer, not the whole. A repetition
        begins with the file's first byte.

        Raises:
            PathNotFound, RequestInvalid: The file cannot be read.
            GymQueueError: As ``send``.
        """
        offload = self.network.offload

        async def attempt(timeout_s: float) -> dict[str, Any]:
            file = await offload(lambda: open_source(source))
            try:
                return read_object(await self._exchange(call, timeout_s, file=file))
            finally:
                await offload(file.close)

        return await self._repeat(call, attempt)

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        while (idle := self._pop_idle()) is not None:
            idle[0].close()

    async def _repeat(self, call: Call, attempt: Callable[[float], Coroutine[Any, Any, T]]) -> T:
        """Attempt until it succeeds, fails for good, or time is up: the call's, or its patience."""
        started, is_told = self._clock(), False
        patience = Patience(call.retries, started=started, timeout_s=call.timeout_s)
        while True:
            try:
                return await attempt(max(MIN_TIMEOUT_S, call.timeout_s - (self._clock() - started)))
            except Infrastructure as error:
                delay_s = patience.pause_s(error, self._clock())
                if delay_s is None:
                    raise
                is_long = self._clock() - started >= TELL_AFTER_S
                level = logging.WARNING if is_long and not is_told else logging.INFO
                is_told = is_told or is_long
                logger.log(
                    level,
                    "%s %s is tried again, for %g s in all: %s",
                    call.method,
                    call.path,
                    call.timeout_s,
                    error,
                )
            await self.network.sleep(delay_s)

    async def _exchange(
        self,
        call: Call,
        timeout_s: float,
        keep: Callable[[bytes], Awaitable[object]] | None = None,
        file: SourceFile | None = None,
    ) -> Reply:
        """Send a request, with a file's bytes for its body if there is one, and return its reply.

        ``keep`` gets the body of a good reply, part by part.
        """
        request_id = uuid.uuid4().hex
        until = self._clock() + timeout_s
        is_new = (stream := self._idle_stream()) is None
        if stream is None:
            stream = await self._connect(min(timeout_s, CONNECT_TIMEOUT_S), request_id)
        reader, is_sent = ReplyReader(), file is None
        try:
            with self._translated(call, request_id), suppress(BrokenPipeError, ConnectionResetError):
                # A server that hung up may have replied before.
                size = None if file is None else file.size
                await stream.send(write_request(self.origin, call, request_id, size), timeout_s)
                if file is not None:
                    is_sent = await self._send_file(stream, file, reader, timeout_s)
                    until = self._clock() + timeout_s
            while not reader.complete:
                with self._translated(call, request_id):
                    reader.feed(await stream.receive(max(MIN_TIMEOUT_S, until - self._clock())))
                if keep is not None and reader.status == 200:
                    await keep(reader.take())
                    until = self._clock() + timeout_s
        except BaseException as error:
            stream.close()
            if isinstance(error, ConnectionFailed) and is_new and self._opened == 1 and not reader.status:
                await self._explain_hang_up(error)
            raise
        self._put_back(stream, reusable=reader.reusable and is_sent)
        return reader.reply(request_id)

    async def _send_file(
        self, stream: Stream, file: SourceFile, reader: ReplyReader, timeout_s: float
    ) -> bool:
        """Send a file; return whether all of it was sent: a server that refuses it answers before its end."""
        async for part in file.parts(self.network):
            if early := stream.take_early():
                reader.feed(early)
                return False
            await stream.send(part, timeout_s)
        return True

    def _idle_stream(self) -> Stream | None:
        """Return the connection that was used last, if one can be used again."""
        while (idle := self._pop_idle()) is not None:
            stream, since = idle
            if self._clock() - since < KEEPALIVE_S and not stream.is_stale():
                return stream
            stream.close()
        return None

    def _pop_idle(self) -> tuple[Stream, float] | None:
        try:
            return self._idle.pop()
        except IndexError:  # empty, or another thread was quicker
            return None

    def _put_back(self, stream: Stream, *, reusable: bool) -> None:
        if reusable and not self._closed:
            self._idle.append((stream, self._clock()))
        else:
            stream.close()

    async def _connect(self, timeout_s: float, request_id: str) -> Stream:
        try:
            trust = await self.network.offload(self.trust.context) if self.origin.secure else None
            stream = await self.network.connect(self.origin, trust, timeout_s)
            self._opened += 1
            return stream
        except OSError as error:
            facts = {"request_id": request_id, "sent": False}
            if (why := explain(error)) is not None:
                raise TlsFailed(f"cannot connect to {self.url}: {why}", facts) from error
            raise ConnectionFailed(
                f"cannot connect to {self.url} ({error or 'no answer'}): check the address, and that a master or worker runs there",
                facts,
            ) from error

    async def _explain_hang_up(self, failure: ConnectionFailed) -> None:
        """Raise TlsFailed if the server hung up because of TLS, or of its lack: it could not say so itself."""
        where = self.origin
        why = await self.network.offload(
            lambda: why_hung_up(where.host, where.port, self.trust.files(), secure=where.secure)
        )
        if why is not None:
            facts = {**failure.details, "sent": False}
            raise TlsFailed(f"cannot connect to {self.url}: {why}", facts) from failure

    @contextmanager
    def _translated(self, call: Call, request_id: str) -> Iterator[None]:
        """Make the errors of an open connection ours."""
        facts = {"request_id": request_id}
        what = f"{call.method} {self.url}{call.path}"
        try:
            yield
        except OSError as error:
            if (
                isinstance(error, TimeoutError) and error.errno != errno.ETIMEDOUT
            ):  # ours, not the connection's
                raise GatewayTimeout(
                    f"{what} had no answer within {call.timeout_s:g} s: give a longer timeout", facts
                ) from error
            if (why := explain(error)) is not None:  # TLS 1.3 refuses a caller after the handshake
                raise TlsFailed(f"cannot connect to {self.url}: {why}", {**facts, "sent": False}) from error
            raise ConnectionFailed(
                f"{what}: the connection broke ({error}); the call may or may not have been carried out",
                {**facts, "sent": True},
            ) from error
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BadReply(
                f"{what}: the answer is not HTTP ({error}): is {self.url} that of a master or a worker?",
                facts,
            ) from error


class Transport:
    """A Carrier that blocks: for code that is not async. Safe to use from several threads.

    Args:
        url: Of ``check_url``.
        token: Sent as bearer token; None sends none.
        sleep: Pauses between repetitions, in seconds.
        clock: Monotonic time, in seconds.
        trust: As Carrier's.

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
        trust: Trust | None = None,
    ) -> None:
        self._carrier = Carrier(url, token, BlockingNetwork(sleep), clock=clock, trust=trust)

    def send(self, call: Call) -> dict[str, Any]:
        """See Carrier.send."""
        return run_now(self._carrier.send(call))

    def read(self, call: Call) -> bytes:
        """See Carrier.read."""
        return run_now(self._carrier.read(call))

    def download(self, call: Call, target: Path) -> None:
        """See Carrier.download."""
        run_now(self._carrier.download(call, target))

    def upload(self, call: Call, source: Path) -> dict[str, Any]:
        """See Carrier.upload."""
        return run_now(self._carrier.upload(call, source))

    def close(self) -> None:
        """Close the connections."""
        self._carrier.close()


def transport_to(url: str) -> Transport:
    """Return a way to a server that shows it the user's token; the caller closes it.

    Raises:
        RequestInvalid: The URL is not one.
    """
    return Transport(check_url(url), find_token())


def check_server(url: str) -> None:
    """See that a master or worker answers at a URL, and takes the user's token.

    Raises:
        RequestInvalid: The URL is not one.
        ConnectionFailed: Nothing answers there.
        Unauthorized: It wants another token.
    """
    transport = transport_to(url)
    try:
        transport.send(Call("GET", "/envs/list", timeout_s=CONNECT_TIMEOUT_S, retries=BRIEF))
    finally:
        transport.close()
