"""The master's HTTP protocol: forwards environments' calls as bytes, hands everything else to uvicorn."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import TYPE_CHECKING, Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gym_queue.errors import GymQueueError, RequestMalformed
from gym_queue.master.dataplane.exchange import Exchange
from gym_queue.master.dataplane.framing import Body, body_of
from gym_queue.master.dataplane.head import CHUNKED, RequestHead, error_head, head_end, parse_request
from gym_queue.web.requestid import SAFE_ID

if TYPE_CHECKING:
    from gym_queue.master.dataplane.gateway import Gateway

MAX_HELD_BYTES = 256 << 10
"""Bytes of later, pipelined requests held while one is answered."""
MAX_DRAIN_BYTES = 4 << 20
"""Bytes read and dropped from a client that still sends after its answer, so that it gets to read it."""
DRAIN_S = 2.0
HEAD_TIMEOUT_S = 10.0
"""Longest a head may take to come in."""
BODY_SILENCE_S = 60.0
"""Longest silence in the middle of a body."""
IDLE_TIMEOUT_S = 75.0


class GatewayProtocol(HttpToolsProtocol):
    """One client's connection. Requests on it are answered one after the other.

    Every request's head is parsed here, and its end is known here: uvicorn is fed whole messages and nothing of
    what follows them, so that both paths refuse the same things and neither sees the other's bytes.
    """

    gateway: ClassVar[Gateway]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held = bytearray()
        self._app_body: Body | None = None
        self._app_busy = False
        self._exchange: Exchange | None = None
        self._draining = -1
        self._paused = False
        self._half_closed = False
        self.will_close = False
        self._waiting_since = 0.0
        self._heard = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waiting_since = self._heard = time.monotonic()
        self.gateway.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gateway.connections.discard(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = time.monotonic()
        if self._draining >= 0:
            self._drain(len(data))
            return
        exchange = self._exchange
        if exchange is not None and (not exchange.request_done or exchange.is_tunnel):
            data = self._feed_exchange(exchange, data)
        elif self._app_body is not None and not self._app_body.is_done:
            data = self._feed_app(self._app_body, data)
        if not data:
            return
        if self._held or self._is_busy():
            self._hold(data)
        else:
            self._next(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the sending side open while an answer is due to a client that only ended its own side."""
        self._half_closed = True
        if self._exchange is not None and self._exchange.request_done:
            self.will_close = True
            return True
        return self._app_busy and self._app_body is not None and self._app_body.is_done

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.pause(paused=True)
        super().pause_writing()

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.pause(paused=False)
        super().resume_writing()

    def check_patience(self, now: float) -> None:
        """Hang up on a client that is idle, or sends its request too slowly."""
        if self._is_busy():
            body_comes = self._exchange is not None and not self._exchange.request_done
            body_comes = body_comes or (self._app_body is not None and not self._app_body.is_done)
            if body_comes and not self._paused and now - self._heard > BODY_SILENCE_S:
                self.transport.abort()
        elif now - self._waiting_since > (HEAD_TIMEOUT_S if self._held else IDLE_TIMEOUT_S):
            self.transport.close()

    def shutdown(self) -> None:
        """Close now, or after the call that is being forwarded."""
        if self._exchange is None:
            super().shutdown()
        else:
            self.will_close = True

    def on_response_complete(self) -> None:
        """The app has answered: the next request may come."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # idle connections are swept by the gateway
        self._app_busy = False
        if self._app_body is not None and not self._app_body.is_done:
            self._linger()
            return
        self._after_answer()

    def send_400_response(self, msg: str) -> None:
        self.answer_error(RequestMalformed(f"{msg} Send valid HTTP/1.1"), self._new_id(), keep_alive=False)

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        self.transport.write(data)

    def pause_client(self) -> None:
        """Read no more from the client for now."""
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume_client(self) -> None:
        """Read on."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def close(self) -> None:
        """Close once everything written is sent."""
        self.transport.close()

    def abort(self) -> None:
        """Hang up at once: the client must not take what it got for whole."""
        self.transport.abort()

    def tunnel_open(self) -> None:
        """Send what the client said before the other side agreed to a tunnel."""
        held, self._held = bytes(self._held), bytearray()
        if held and self._exchange is not None:
            self._exchange.feed(held)

    def exchange_done(self, *, request_done: bool) -> None:
        """A forwarded call is answered."""
        self._exchange = None
        self.resume_client()
        if not request_done:
            self._linger()
        else:
            self._after_answer()

    def answer_error(self, error: GymQueueError, request_id: bytes, *, keep_alive: bool) -> None:
        """Answer with an error of ours."""
        self._exchange = None
        if self.transport.is_closing():
            return
        body = json.dumps(error.to_wire(request_id.decode())).encode()
        stay = keep_alive and not self.will_close
        retry = (
            b"retry-after: %d\r\n" % max(1, round(error.details["retry_after_s"]))
            if "retry_after_s" in error.details
            else b""
        )
        self.write(
            error_head(error)
            + b"content-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
            % (len(body), request_id)
            + retry
            + (b"\r\n" if stay else b"connection: close\r\n\r\n")
            + body
        )
        self.resume_client()
        if stay:
            self._after_answer()
        else:
            self._linger()

    def _is_busy(self) -> bool:
        return self._exchange is not None or self._app_busy

    def _next(self, data: bytes) -> None:
        """Take the next request's head, once it is whole."""
        if data[:2] == b"\r\n":
            data = data[2:]  # RFC 9112, section 2.2: an empty line before a request is passed over
        try:
            end = head_end(data)
            if not end:
                self._held += data
                self._waiting_since = self._waiting_since or time.monotonic()
                return
            head = parse_request(data[:end])
        except GymQueueError as error:
            self.answer_error(error, self._new_id(), keep_alive=False)
            return
        self._waiting_since = 0.0
        self._unset_keepalive_if_required()
        rest = self._begin(head, data[:end], data[end:])
        if rest and not self.transport.is_closing():
            self._hold(rest)

    def _begin(self, head: RequestHead, raw: bytes, rest: bytes) -> bytes:
        """Start answering a request; return the bytes that are not its."""
        if not head.keep_alive:
            self.will_close = True
        found = self.gateway.route(head)
        if found is None:
            self._app_busy = True
            self._app_body = body_of(head.framing)
            super().data_received(self._for_app(head, raw))
            return self._feed_app(self._app_body, rest) if not self._app_body.is_done else rest
        route, call = found
        exchange = Exchange(self, head, route, call, self._request_id(head), self.gateway.deadline())
        self._exchange = exchange
        self.gateway.on_start(exchange)
        return rest[self._guarded(lambda: exchange.start(self.gateway.pools.get(route.worker_url), rest)) :]

    def _feed_exchange(self, exchange: Exchange, data: bytes) -> bytes:
        taken = self._guarded(lambda: exchange.feed(data))
        return b"" if self._exchange is not exchange and self.transport.is_closing() else data[taken:]

    def _guarded(self, feed: Any) -> int:
        """Run a feed; a broken body ends the call on both sides."""
        try:
            return cast(int, feed())
        except RequestMalformed as error:
            if self._exchange is not None:
                self._exchange.fail(error)
            return 1 << 62

    def _feed_app(self, body: Body, data: bytes) -> bytes:
        if not data:
            return b""
        try:
            taken = body.take(data)
        except RequestMalformed as error:
            self.answer_error(error, self._new_id(), keep_alive=False)
            return b""
        super().data_received(data[:taken])
        if self._draining >= 0:
            return b""
        return data[taken:]

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > MAX_HELD_BYTES and self._is_busy():
            self.pause_client()

    def _after_answer(self) -> None:
        """Close, or take the next request."""
        if self.transport.is_closing():
            return
        if self.will_close or (self._half_closed and not self._held):
            self.transport.close()
            return
        self._waiting_since = time.monotonic()
        self.resume_client()
        if self._held:
            self.loop.call_soon(self._take_held)

    def _take_held(self) -> None:
        if self._is_busy() or self.transport is None or self.transport.is_closing():
            return
        held, self._held = bytes(self._held), bytearray()
        if held:
            self._next(held)
        if self._half_closed and not self._is_busy():
            self.transport.close()

    def _linger(self) -> None:
        """Let a client that still sends read its answer before the connection goes (RFC 9112, section 9.6)."""
        if self.transport.is_closing():
            return
        self._draining = 0
        self._held.clear()
        self.resume_client()
        if self._half_closed:
            self.transport.close()
        else:
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.loop.call_later(DRAIN_S, self.transport.close)

    def _drain(self, size: int) -> None:
        self._draining += size
        if self._draining > MAX_DRAIN_BYTES:
            self.transport.abort()

    def _request_id(self, head: RequestHead) -> bytes:
        given = head.fields.get(b"x-request-id", b"")
        if given and given.isascii() and SAFE_ID.fullmatch(given.decode()):
            return given
        return self._new_id()

    @staticmethod
    def _new_id() -> bytes:
        return uuid.uuid4().hex.encode()

    def _for_app(self, head: RequestHead, raw: bytes) -> bytes:
        """Return the head for uvicorn; an upgrade that nothing here serves is left out."""
        if not head.is_upgrade:
            return raw
        lines = [b"%b %b HTTP/1.%d\r\n" % (head.method, head.target, 0 if head.is_http_10 else 1), head.rest]
        for name in (b"host", b"authorization", b"cookie", b"content-length", b"x-request-id"):
            if name in head.fields:
                lines.append(name + b": " + head.fields[name] + b"\r\n")
        if head.framing == CHUNKED:
            lines.append(b"transfer-encoding: chunked\r\n")
        return b"".join((*lines, b"\r\n"))
