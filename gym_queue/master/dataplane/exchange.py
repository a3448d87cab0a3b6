"""One forwarded call: request bytes one way, reply bytes the other, nothing kept whole."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from gym_queue.errors import (
    BadReply,
    EnvLost,
    GatewayTimeout,
    GymQueueError,
    RequestMalformed,
    RequestTimeout,
    WorkerUnreachable,
)
from gym_queue.master.dataplane.framing import Body, OpenBody, body_of
from gym_queue.master.dataplane.head import CHUNKED, UNTIL_CLOSE, ReplyHead, RequestHead
from gym_queue.master.dataplane.memo import read_reply, reply_memo

if TYPE_CHECKING:
    from gym_queue.master.dataplane.protocol import GatewayProtocol
    from gym_queue.master.dataplane.upstream import UpstreamConnection, UpstreamPool
    from gym_queue.master.routes import Route

logger = logging.getLogger(__name__)

ENV_LOST = EnvLost.status
JOIN_BYTES = 16 << 10
"""A body part up to this size is copied behind its head, which is cheaper than a second write."""


class Exchange:
    """Links a client's connection and a worker's for the time of one call."""

    __slots__ = (
        "_again",
        "_body",
        "_paused",
        "_pending",
        "_reply_begun",
        "_reply_body",
        "_reply_head",
        "_task",
        "_upstream",
        "call",
        "client",
        "deadline",
        "head",
        "is_ended",
        "is_tunnel",
        "request_done",
        "request_id",
        "route",
        "started",
    )

    def __init__(
        self,
        client: GatewayProtocol,
        head: RequestHead,
        route: Route,
        call: str,
        request_id: bytes,
    ) -> None:
        self.client = client
        self.head = head
        self.route = route
        self.call = call
        self.request_id = request_id
        self.started = client.heard
        """When its head was in, in monotonic seconds."""
        self.deadline = client.heard + client.gateway.timeout_s
        """When the call has had no progress for too long, in monotonic seconds."""
        self.is_tunnel = False
        self.is_ended = False
        self.request_done = head.framing == 0
        self._body: Body | None = None
        self._upstream: UpstreamConnection | None = None
        self._pending: bytearray | None = None
        self._again = b""
        self._reply_head = b""
        self._reply_begun = False
        self._reply_body: Body | None = None
        self._task: asyncio.Task[None] | None = None
        self._paused = False

    def start(self, pool: UpstreamPool, data: bytes, at: int) -> int:
        """Send the head, and what of the body is in ``data`` from ``at`` on; return where in it the body ends.

        Raises:
            RequestMalformed: The body is not chunked as it should be.
        """
        first = self._head_bytes(pool)
        end = at
        if not self.request_done:
            if 0 <= self.head.framing <= len(data) - at:
                end = at + self.head.framing
                self.request_done = True
            else:
                self._body = body_of(self.head.framing)
                end = at + self._body.take(data, at)
                self.request_done = self._body.is_done
            first += data[at:end]
        upstream = pool.idle(self.started)
        if upstream is None:
            self._dial(pool, first)
        else:
            if self.request_done and (
                self.head.method in (b"GET", b"HEAD") or b"idempotency-key" in self.head.fields
            ):
                self._again = first
            self._attach(upstream, first)
        return end

    def feed(self, data: bytes) -> int:
        """Send more of the body; return how many bytes of ``data`` were the body's.

        Raises:
            RequestMalformed: The body is not chunked as it should be.
        """
        if self.is_tunnel or self._body is None:
            taken = len(data)
        else:
            taken = self._body.take(data)
            self.request_done = self._body.is_done
            self.deadline = self.client.gateway.deadline()
        part = data if taken == len(data) else data[:taken]
        if self._upstream is not None:
            self._upstream.transport.write(part)
        elif self._pending is not None:
            self._pending += part
            if len(self._pending) > self.client.gateway.limits.held_bytes:
                self.client.pause_client()
        return taken

    def upstream_data(self, data: bytes) -> None:
        """Pass on bytes of the reply."""
        try:
            if self.is_tunnel:
                self.client.transport.write(data)
            elif self._reply_begun:
                self.deadline = self.client.gateway.deadline()
                self._pass_body(data)
            else:
                self._again = b""
                self._take_heads(self._reply_head + data if self._reply_head else data)
        except Exception:
            logger.exception("%s of environment %s broke off, which is a bug", self.call, self.route.env_id)
            self.client.crashed()

    def upstream_closed(self, error: Exception | None) -> None:
        """End the call as the worker ended it."""
        pool = self._upstream.pool if self._upstream is not None else None
        self._upstream = None
        again, self._again = self._again, b""
        if self.is_tunnel:
            self.client.close()
        elif again and pool is not None:  # the worker closed an idle connection just then; safe to repeat
            self._dial(pool, again)
        elif not self._reply_begun:
            why = str(error) if error else "it hung up before it answered"
            self.fail(
                WorkerUnreachable(
                    f"worker {self.route.worker_id} at {self.route.worker_url} did not answer: {why}; the call may or may not have been carried out",
                    {"worker_id": self.route.worker_id, "sent": True},
                )
            )
        elif isinstance(self._reply_body, OpenBody) and error is None:
            self._finish(reusable=False)
        else:
            self._end(time.monotonic(), failed=True)
            self.client.abort()  # half of a reply cannot be taken back

    def upstream_paused(self, *, paused: bool) -> None:
        """Read from the client no faster than the worker takes it."""
        if paused:
            self.client.pause_client()
        else:
            self.client.resume_client()

    def pause(self, *, paused: bool) -> None:
        """Read from the worker no faster than the client takes it."""
        self._paused = paused
        if self._upstream is not None and not self._upstream.transport.is_closing():
            if paused:
                self._upstream.transport.pause_reading()
            else:
                self._upstream.transport.resume_reading()

    def time_out(self) -> None:
        """End a call whose worker takes too long."""
        self.fail(
            GatewayTimeout(
                f"worker {self.route.worker_id} did not answer {self.call} in time",
                {"worker_id": self.route.worker_id},
            )
        )

    def abandon(self) -> None:
        """The client has gone: let the worker know by hanging up."""
        self._drop_upstream()
        self._end(time.monotonic(), failed=False)

    def fail(self, error: GymQueueError) -> None:
        """Answer with an error of ours, or hang up when a part of the reply is out already."""
        self._drop_upstream()
        self._end(time.monotonic(), failed=not isinstance(error, RequestMalformed | RequestTimeout))
        if isinstance(error, WorkerUnreachable):
            self.client.gateway.on_unreachable(self.route.worker_id)
        if self._reply_begun or self.is_tunnel:
            self.client.abort()
        else:
            stay = self.request_done and not self.head.is_http_10
            self.client.answer_error(
                error, self.request_id, keep_alive=stay, is_head=self.head.method == b"HEAD"
            )

    def _dial(self, pool: UpstreamPool, first: bytes) -> None:
        self._pending = bytearray(first)
        self._task = asyncio.ensure_future(self._connect(pool))

    async def _connect(self, pool: UpstreamPool) -> None:
        try:
            upstream = await pool.connect()
        except (OSError, ValueError) as error:
            self._task = None
            reason = str(error) or "no answer in time"
            self.fail(
                WorkerUnreachable(
                    f"worker {self.route.worker_id} at {self.route.worker_url} cannot be reached: {reason}",
                    {"worker_id": self.route.worker_id, "sent": False},
                )
            )
            return
        except Exception:
            self._task = None
            logger.exception("connecting to %s broke off, which is a bug", self.route.worker_url)
            self.client.crashed()
            return
        self._task = None
        pending, self._pending = self._pending, None
        self.client.resume_client()  # before the write, which may ask for less again
        self._attach(upstream, bytes(pending or b""))

    def _attach(self, upstream: UpstreamConnection, first: bytes) -> None:
        upstream.listener = self
        self._upstream = upstream
        upstream.transport.write(first)

    def _head_bytes(self, pool: UpstreamPool) -> bytes:
        head = self.head
        first = b"%b %b HTTP/1.%d\r\n%bhost: %b\r\nx-request-id: %b\r\nx-master-timestamp: %.6f\r\n%b" % (
            head.method,
            head.target,
            not head.is_http_10,
            head.rest,
            pool.host_header,
            self.request_id,
            time.time(),
            self.client.gateway.auth_of(head, self.call),
        )
        if b"idempotency-key" in head.fields:
            first += b"idempotency-key: %b\r\n" % head.fields[b"idempotency-key"]
        if head.framing == CHUNKED:
            first += b"transfer-encoding: chunked\r\n"
        elif head.framing or b"content-length" in head.fields:
            first += b"content-length: %d\r\n" % head.framing
        if head.is_upgrade:
            first += b"connection: upgrade\r\nupgrade: websocket\r\n"
        return first + b"\r\n"

    def _take_heads(self, data: bytes) -> None:
        """Pass on the reply's head once it is whole; interim replies (1xx) come before it."""
        memo = self._upstream.memo if self._upstream is not None else reply_memo()
        while True:
            try:
                found = read_reply(data, memo, self.head.method)
                if found is None:
                    self._reply_head = data
                    return
                reply, end = found
                if reply.status == 101 and not self.head.is_upgrade:
                    raise RequestMalformed("it changes to a protocol that nobody asked for")
            except GymQueueError as error:
                self._fail_badly(f"answered something that is not HTTP: {error}")
                return
            if reply.status >= 200:
                self._start_reply(reply, data, end)
                return
            if reply.status == 101:
                self._start_tunnel(reply, data[end:])
                return
            if not self.head.is_http_10:
                self.client.transport.write(b"%b%b\r\n" % (reply.first_line, reply.rest))
            data = data[end:]

    def _start_tunnel(self, reply: ReplyHead, rest: bytes) -> None:
        self.is_tunnel = self.request_done = True
        self.deadline = float("inf")
        self._end(time.monotonic(), failed=False)  # its length is no latency
        upgrade = reply.fields.get(b"upgrade", b"websocket")
        self.client.transport.write(
            b"%b%bx-request-id: %b\r\nconnection: upgrade\r\nupgrade: %b\r\n\r\n%b"
            % (reply.first_line, reply.rest, self.request_id, upgrade, rest)
        )
        self.client.tunnel_open()

    def _start_reply(self, reply: ReplyHead, data: bytes, at: int) -> None:
        """Send the reply's head, and what of its body is in ``data`` from ``at`` on."""
        self._reply_head = b""
        self._reply_begun = True
        if not reply.keep_alive and self._upstream is not None:
            self._upstream.keep_alive = False
        if reply.framing == UNTIL_CLOSE or not self.request_done:
            self.client.will_close = True
        head = self._reply_bytes(reply)
        if self.call == "close" or reply.status == ENV_LOST:
            self.client.gateway.on_gone(self, reply.status)
        if reply.framing == len(data) - at:  # all of it is here, as it mostly is
            self.client.transport.write(head + data[at:])
            self._finish(reusable=True)
        else:
            self._reply_body = body_of(reply.framing)
            self._pass_body(data, at, head)

    def _reply_bytes(self, reply: ReplyHead) -> bytes:
        fields = reply.fields
        head = b"%b%bx-request-id: %b\r\n" % (reply.first_line, reply.rest, self.request_id)
        if b"date" in fields:
            head += b"date: %b\r\n" % fields[b"date"]
        if b"x-worker-processing-time" in fields:
            head += b"x-worker-processing-time: %b\r\n" % fields[b"x-worker-processing-time"]
        if reply.framing == CHUNKED:
            head += b"transfer-encoding: chunked\r\n"
        elif b"content-length" in fields and reply.status != 204:
            head += b"content-length: %b\r\n" % fields[b"content-length"]
        if self.client.will_close:
            head += b"connection: close\r\n"
        elif self.head.is_http_10:
            head += b"connection: keep-alive\r\n"
        return head + b"\r\n"

    def _pass_body(self, data: bytes, at: int = 0, before: bytes = b"") -> None:
        body = self._reply_body
        assert body is not None  # noqa: S101  set with the head
        try:
            taken = body.take(data, at)
        except RequestMalformed:
            self._fail_badly("sent a reply whose chunks are broken")
            return
        if before and taken <= JOIN_BYTES:
            self.client.transport.write(before + data[at : at + taken])
        else:
            if before:
                self.client.transport.write(before)
            self.client.transport.write(data if taken == len(data) else memoryview(data)[at : at + taken])
        if body.is_done:
            self._finish(reusable=at + taken == len(data))

    def _fail_badly(self, what: str) -> None:
        self.fail(BadReply(f"worker {self.route.worker_id} {what}", {"worker_id": self.route.worker_id}))

    def _finish(self, *, reusable: bool) -> None:
        """The reply is out: free the worker's connection and let the client's next request come."""
        now = time.monotonic()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if self._paused and not upstream.transport.is_closing():
                upstream.transport.resume_reading()
            if reusable and self.request_done and upstream.keep_alive:
                upstream.release(now)
            else:
                upstream.close()
        self._end(now, failed=False)
        self.client.exchange_done(now, request_done=self.request_done)

    def _end(self, now: float, *, failed: bool) -> None:
        """Free what the call holds and count it; ended again, it stays ended."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._pending, self._again = None, b""
        if not self.is_ended:
            self.is_ended = True
            self.client.gateway.on_end(self, now - self.started, failed=failed)

    def _drop_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
