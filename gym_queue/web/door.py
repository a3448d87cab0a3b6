"""A server's side of its connections that does not wait for ever: slow, endless and too many requests are refused."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gym_queue.errors import GymQueueError, RequestMalformed, RequestTimeout, TooLarge, TooManyConnections
from gym_queue.web.limits import Addresses, DoorLimits, is_stream
from gym_queue.web.socket import WebSocketProtocol


class _Awaited(Enum):
    """What a connection waits for."""

    REQUEST = "request"  # the next one's first byte
    HEAD = "head"  # the rest of a request's head
    BODY = "body"  # the rest of a request's body
    ANSWER = "answer"  # the app
    END = "end"  # the client's, which has been refused


class Door:
    """The connections of one server.

    Args:
        limits: What they may take.
        upgrades: Method and path → whether a request for a WebSocket gets one; others are answered as if it asked for none.
    """

    def __init__(
        self, limits: DoorLimits, *, upgrades: Callable[[str, str], bool] = lambda _method, _path: False
    ) -> None:
        self.limits, self.upgrades = limits, upgrades
        self.addresses = Addresses(limits.per_address)
        self.connections: set[DoorProtocol] = set()
        self._is_swept = False

    def protocol(self) -> type[DoorProtocol]:
        """Return the protocol class for uvicorn."""
        return type("BoundDoorProtocol", (DoorProtocol,), {"door": self})

    def add(self, connection: DoorProtocol) -> None:
        """Watch over a connection until it is lost."""
        self.connections.add(connection)
        if not self._is_swept:
            self._is_swept = True
            connection.loop.call_later(self.limits.sweep_s, self._sweep, connection.loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self.connections):
            connection.check_patience(now)
        self._is_swept = bool(self.connections)
        if self._is_swept:
            loop.call_later(self.limits.sweep_s, self._sweep, loop)


class DoorProtocol(HttpToolsProtocol):
    """uvicorn's, with limits. What a connection waits for is read off by the sweep: requests pay for next to nothing."""

    door: ClassVar[Door]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_heard = self._is_refused = self._is_counted = False
        self._head_bytes = 0
        self._head_scope: object = None
        self._awaited: tuple[_Awaited, object] = (_Awaited.REQUEST, None)
        self._since = self._heard = self._unsent_since = self.loop.time()
        self._unsent_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it."""
        super().connection_made(transport)
        if len(self.door.connections) >= self.door.limits.connections:
            transport.abort()
            return
        self.door.add(self)
        try:
            self.door.addresses.enter(self._address)
            self._is_counted = True
        except TooManyConnections as error:
            self.refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._leave()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over; its address counts it until it is lost, and pings find out whether it lives."""
        self.door.connections.discard(self)
        self.ws_protocol_class = partial(WebSocketProtocol, self._leave)  # type: ignore[assignment]
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        """Take bytes of requests."""
        self._is_heard = True
        if self._is_refused:
            return
        super().data_received(data)
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope:
            self._count_head(len(data))

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser does not take."""
        self.refuse(RequestMalformed(f"{msg.rstrip('.')}: send valid HTTP/1.1"))

    def refuse(self, error: GymQueueError) -> None:
        """Answer with an error in the app's place, and hang up once the client can have read it."""
        cycle, self._is_refused = self.cycle, True
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()  # half of an answer cannot be taken back
                return
        self.flow.resume_reading()
        self.transport.write(_reply(error))
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def check_patience(self, now: float) -> None:
        """Hang up on a client that is idle, or sends or reads too slowly."""
        awaited, limits = self._awaits(), self.door.limits
        if self._is_heard:
            self._is_heard, self._heard = False, now
        if self._is_stuck(now):
            self.transport.abort()
        elif awaited != self._awaited:
            self._awaited, self._since, self._heard = awaited, now, now
        elif awaited[0] is _Awaited.REQUEST:
            if now - self._heard > limits.idle_s:
                self.transport.close()
        elif awaited[0] is _Awaited.END:
            if now - self._since > limits.drain_s:
                self.transport.abort()
        elif (late := self._late(awaited[0], now)) is not None:
            self.refuse(late)

    def _late(self, awaited: _Awaited, now: float) -> RequestTimeout | None:
        """Return what is to be said to a client whose request should be in by now."""
        limits = self.door.limits
        if awaited is _Awaited.HEAD and now - self._since > limits.head_s:
            return late_head(limits.head_s)
        if awaited is not _Awaited.BODY or self.flow.read_paused:
            return None
        is_slow = now - self._since > limits.body_s and not is_stream(self.cycle.scope["path"])
        is_late = is_slow or now - self._heard > limits.silence_s
        return late_body(silence_s=limits.silence_s, body_s=limits.body_s) if is_late else None

    def _should_upgrade_to_ws(self) -> bool:
        path = self.url.partition(b"?")[0].decode("latin-1")
        return self.scope["http_version"] == "1.1" and self.door.upgrades(self.scope["method"], path)

    def _leave(self) -> None:
        self.door.connections.discard(self)
        if self._is_counted:
            self._is_counted = False
            self.door.addresses.leave(self._address)

    def _count_head(self, size: int) -> None:
        """Refuse a head that goes on for too long."""
        if self.scope is not self._head_scope:
            self._head_scope, self._head_bytes = self.scope, 0
        self._head_bytes += size
        if self._head_bytes > self.door.limits.head_bytes:
            limit = self.door.limits.head_bytes >> 10
            self.refuse(TooLarge(f"the head is longer than {limit} KiB: send less in headers"))

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _head_comes(self) -> bool:
        return self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)

    def _awaits(self) -> tuple[_Awaited, object]:
        """Return what is waited for, and what tells one request's from the next one's."""
        cycle = self.cycle
        if self._is_refused:
            return _Awaited.END, None
        if cycle is not None and not cycle.response_complete:
            return (_Awaited.BODY if cycle.more_body else _Awaited.ANSWER), id(cycle)
        if cycle is not None and cycle.more_body:
            return _Awaited.BODY, id(cycle)  # answered before it was in
        return (_Awaited.HEAD if self._head_comes() else _Awaited.REQUEST), id(self.scope)

    def _is_stuck(self, now: float) -> bool:
        """Whether the client has not taken a byte of what it is sent for too long."""
        size = self.transport.get_write_buffer_size()
        if size == 0 or size != self._unsent_bytes:
            self._unsent_bytes, self._unsent_since = size, now
            return False
        return now - self._unsent_since > self.door.limits.silence_s


def late_head(head_s: float) -> RequestTimeout:
    """Return what a client is told whose request's head does not come in."""
    return RequestTimeout(f"the request's head was not in after {head_s:g} s: send it at once")


def late_body(*, silence_s: float, body_s: float) -> RequestTimeout:
    """Return what a client is told whose request's body does not come in."""
    return RequestTimeout(
        f"the request's body stalled for {silence_s:g} s, or was not in after {body_s:g} s: nothing was carried out, send it again"
    )


def _reply(error: GymQueueError) -> bytes:
    request_id = uuid.uuid4().hex
    body = json.dumps(error.to_wire(request_id)).encode()
    reason = error.code.replace("_", " ").title()
    retry = f"retry-after: {error.details['retry_after_s']}\r\n" if "retry_after_s" in error.details else ""
    head = (
        f"HTTP/1.1 {error.status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"x-request-id: {request_id}\r\n{retry}connection: close\r\n\r\n"
    )
    return head.encode() + body
