"""The master's HTTP protocol: forwards environments' calls as bytes, hands everything else to uvicorn."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import time
from typing import Any

from gym_queue.errors import GymQueueError, MethodNotAllowed, RequestMalformed, TooManyConnections
from gym_queue.master.dataplane.appside import AppProtocol, new_id
from gym_queue.master.dataplane.exchange import Exchange
from gym_queue.master.dataplane.head import REQUEST_LINE, RequestHead, error_head
from gym_queue.master.dataplane.memo import read_request, request_memo
from gym_queue.web.door import late_body, late_head
from gym_queue.web.errors import error_headers
from gym_queue.web.limits import FILES
from gym_queue.web.requestid import SAFE_ID

logger = logging.getLogger(__name__)

_RESET = struct.pack("ii", 1, 0)


class GatewayProtocol(AppProtocol):
    """One client's connection. Requests on it are answered one after the other."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held = bytearray()
        self._is_counted = False
        self._memo = request_memo()
        self.exchange: Exchange | None = None
        """The call that is being forwarded."""
        now = time.monotonic()
        self.heard = now
        """When bytes came last, in monotonic seconds."""
        self._idle_since = now
        self._head_since = 0.0
        self._request_since = now
        self._draining_since = 0.0
        self._unsent_bytes = 0
        self._unsent_since = now

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.gateway.connections) >= self.gateway.limits.connections:
            logger.warning("hung up on a client: there are %d already", len(self.gateway.connections))
            transport.abort()
        self.gateway.connections.add(self)
        try:
            self.gateway.addresses.enter(self._address)
            self._is_counted = True
        except TooManyConnections as error:
            self.answer_error(error, new_id(), keep_alive=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gateway.connections.discard(self)
        if self._is_counted:
            self._is_counted = False
            self.gateway.addresses.leave(self._address)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.abandon()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        try:
            if self.exchange is None and not (self._held or self._draining_since or self._is_busy()):
                self._next(data)
            else:
                self._take(data)
        except Exception:
            logger.exception("a client's request broke off, which is a bug")
            self.crashed()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the sending side open while an answer is due to a client that only ended its own side."""
        self.half_closed = True
        if self._draining_since or self.scheme == "https":  # TLS has no half to keep open
            return False
        if self._held and not self._is_busy():
            self._take_held()
        if self.exchange is not None:
            return self.exchange.request_done and not self.exchange.is_tunnel
        if self.app_busy and self.app_body.is_done:
            self.tell_app_of_eof()
            return True
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.exchange is not None:
            self.exchange.pause(paused=True)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.exchange is not None:
            self.exchange.pause(paused=False)
        elif self._held:
            self.loop.call_soon(self._take_held)

    def shutdown(self) -> None:
        """Close now, or after the call that is being answered."""
        exchange = self.exchange
        if exchange is not None and not exchange.is_tunnel:
            self.will_close = True
        elif exchange is None and self.app_busy:
            self.will_close = True
            super().shutdown()
        else:
            self.transport.close()

    def check_patience(self, now: float) -> None:
        """Hang up on a client that is idle, or sends or reads too slowly."""
        limits = self.gateway.limits
        if self._is_stuck(now):
            self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self._draining_since:
            if now - self.heard > limits.drain_silence_s or now - self._draining_since > limits.drain_s:
                self.transport.close()
        elif self._is_busy():
            if self._body_comes() and not self.flow.read_paused and self._is_late(now):
                self._refuse(late_body(silence_s=limits.silence_s, body_s=limits.body_s))
        elif self._head_since:
            if now - self._head_since > limits.head_s:
                self.answer_error(late_head(limits.head_s), new_id(), keep_alive=False)
        elif now - self._idle_since > limits.idle_s:
            self.transport.close()

    def crashed(self) -> None:
        """Hang up on this client alone: a bug of ours, already logged, has left its request half done."""
        self.gateway.bug_count += 1
        self.transport.abort()

    def stop(self, error: GymQueueError) -> None:
        """End the connection now, answering a call that is being forwarded with an error."""
        self.will_close = True
        if self.exchange is not None:
            self.exchange.fail(error)
        self.transport.close()

    def pause_client(self) -> None:
        """Read no more from the client for now."""
        if not self.transport.is_closing():
            self.flow.pause_reading()

    def resume_client(self) -> None:
        """Read on."""
        if self.flow.read_paused and not self.transport.is_closing():
            self.heard = time.monotonic()
            self.flow.resume_reading()

    def close(self) -> None:
        """Close once everything written is sent."""
        self.transport.close()

    def abort(self) -> None:
        """Hang up at once, by a reset: the client must not take what it got for whole."""
        if not self.transport.is_closing():
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def tunnel_open(self) -> None:
        """Send what the client said before the other side agreed to a tunnel."""
        self.resume_client()
        held, self._held = bytes(self._held), bytearray()
        if held and self.exchange is not None:
            self.exchange.feed(held)

    def exchange_done(self, now: float, *, request_done: bool) -> None:
        """A forwarded call is answered."""
        self.exchange = None
        if request_done:
            self.after_answer(now)
        else:
            self.linger()

    def answer_error(
        self, error: GymQueueError, request_id: bytes, *, keep_alive: bool, is_head: bool = False
    ) -> None:
        """Answer with an error of ours, and close unless the connection can be kept alive."""
        self.exchange = None
        if self.transport.is_closing():
            return
        body = json.dumps(error.to_wire(request_id.decode())).encode()
        stay = keep_alive and not self.will_close
        self.transport.write(
            b"%bcontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b%b\r\n%b"
            % (
                error_head(error),
                len(body),
                request_id,
                _lines(error_headers(error)),
                b"" if stay else b"connection: close\r\n",
                b"" if is_head else body,
            )
        )
        if stay:
            self.after_answer()
        else:
            self.linger()

    def after_answer(self, now: float = 0.0) -> None:
        """An answer is out: close, or take the next request."""
        if self.transport.is_closing():
            return
        if self.will_close or (self.half_closed and not self._held):
            self.transport.close()
            return
        self._idle_since = now or time.monotonic()
        self.resume_client()
        if self._held:
            self.loop.call_soon(self._take_held)

    def linger(self) -> None:
        """Let a client that still sends read its answer before the connection goes (RFC 9112, section 9.6)."""
        if self.transport.is_closing():
            return
        self._held.clear()
        if self.half_closed:
            self.transport.close()
            return
        self.resume_client()
        self._draining_since = self.heard = time.monotonic()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _take(self, data: bytes) -> None:
        if self._draining_since:
            return
        exchange = self.exchange
        if exchange is not None:
            if not exchange.request_done or exchange.is_tunnel:
                data = self._feed(exchange, data)
        elif self.app_busy and not self.app_body.is_done:
            data = self.feed_app(data)
        if not data:
            return
        if self._is_busy():
            self._hold(data)
        elif self._held:
            data, self._held = bytes(self._held) + data, bytearray()
            self._next(data)
        else:
            self._next(data)

    def _feed(self, exchange: Exchange, data: bytes) -> bytes:
        try:
            return data[exchange.feed(data) :]
        except RequestMalformed as error:
            exchange.fail(error)
            return b""

    def _next(self, data: bytes) -> None:
        """Take the next request's head, once it is whole."""
        if data[:2] == b"\r\n":
            data = data[2:]  # RFC 9112, section 2.2: an empty line before a request is passed over
        try:
            found = read_request(data, self._memo)
            if found is None:
                self._held += data
                self._head_since = self._head_since or self.heard
                return
            self._head_since = 0.0
            rest = self._begin(found[0], data, found[1])
        except MethodNotAllowed as error:
            target = REQUEST_LINE.match(data)
            told = error if target is None else self.gateway.with_methods(error, target[2])
            self.answer_error(told, new_id(), keep_alive=False)
            return
        except GymQueueError as error:
            self.answer_error(error, new_id(), keep_alive=False)
            return
        if rest and not self.transport.is_closing():
            self._hold(rest)

    def _begin(self, head: RequestHead, data: bytes, at: int) -> bytes:
        """Start answering the request whose head ends at ``at``; return the bytes that are not its."""
        self._request_since = self.heard
        if not head.keep_alive:
            self.will_close = True
        found = self.gateway.route(head)
        if found is None:
            return self.start_app(head, data[:at], data[at:])
        route, call = found
        exchange = self.exchange = Exchange(self, head, route, call, _request_id(head))
        try:
            end = exchange.start(self.gateway.pools.get(route.worker_url), data, at)
        except RequestMalformed as error:
            exchange.fail(error)
            return b""
        return data[end:] if end < len(data) else b""

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _is_busy(self) -> bool:
        """Whether the next request must wait; also while the client does not read the answers it has."""
        return self.exchange is not None or self.app_busy or self.flow.write_paused

    def _body_comes(self) -> bool:
        if self.exchange is not None:
            return not self.exchange.request_done
        return self.app_busy and not self.app_body.is_done

    def _is_late(self, now: float) -> bool:
        """Whether a request's body that still comes has stalled, or takes too long."""
        limits = self.gateway.limits
        is_file = self.exchange is not None and self.exchange.call == FILES
        is_slow = now - self._request_since > limits.body_s and not is_file
        return is_slow or now - self.heard > limits.silence_s

    def _refuse(self, error: GymQueueError) -> None:
        """Answer a request that is not in yet with an error of ours."""
        if self.exchange is not None:
            self.exchange.fail(error)
        else:
            self.refuse_app(error)

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > self.gateway.limits.held_bytes:
            self.pause_client()

    def _take_held(self) -> None:
        if self._is_busy() or self.transport.is_closing():
            return
        held, self._held = bytes(self._held), bytearray()
        try:
            if held:
                self._next(held)
        except Exception:
            logger.exception("a client's pipelined request broke off, which is a bug")
            self.crashed()
        if self.half_closed and not self._is_busy() and not self._draining_since:
            self.transport.close()

    def _is_stuck(self, now: float) -> bool:
        """Whether the client has not taken a byte of what it is sent for too long."""
        size = self.transport.get_write_buffer_size()
        if size == 0 or size != self._unsent_bytes:
            self._unsent_bytes, self._unsent_since = size, now
            return False
        return now - self._unsent_since > self.gateway.limits.silence_s


def _lines(headers: dict[str, str]) -> bytes:
    return "".join(f"{name.lower()}: {value}\r\n" for name, value in headers.items()).encode()


def _request_id(head: RequestHead) -> bytes:
    given = head.fields.get(b"x-request-id")
    if given and given.isascii() and SAFE_ID.fullmatch(given.decode()):
        return given
    return new_id()
