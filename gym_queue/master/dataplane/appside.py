"""uvicorn's side of a client's connection: fed whole messages, and never the one to end the connection."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gym_queue.errors import GymQueueError, RequestMalformed
from gym_queue.master.dataplane.framing import Body, body_of
from gym_queue.master.dataplane.head import CHUNKED, RequestHead

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from gym_queue.master.dataplane.gateway import Gateway


class _AnswerTransport:
    """What the app's answers go through: closing is left to the protocol, which knows what else is due."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: AppProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        if self._protocol.cycle.response_complete:
            self._protocol.will_close = True
        else:
            self._protocol.transport.abort()  # the client must not take half of an answer for whole


class AppProtocol(HttpToolsProtocol):
    """Gives requests to the app, one after the other.

    Every message's end is known here: the parser is fed whole messages and nothing of what follows them, so that
    this path refuses what the forwarding one refuses, and neither sees the other's bytes.
    """

    gateway: ClassVar[Gateway]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._asgi_app = self.app
        self.app = self._run_app
        self.app_body: Body = body_of(0)
        self.app_busy = False
        self.will_close = False
        self.half_closed = False
        self._app_keeps_alive = False

    def after_answer(self) -> None:
        """An answer is out: close, or take the next request."""
        raise NotImplementedError

    def linger(self) -> None:
        """An answer is out before its request was in."""
        raise NotImplementedError

    def answer_error(
        self, error: GymQueueError, request_id: bytes, *, keep_alive: bool, is_head: bool = False
    ) -> None:
        """Answer with an error of ours."""
        raise NotImplementedError

    def start_app(self, head: RequestHead, raw: bytes, rest: bytes) -> bytes:
        """Give the app a request; return the bytes that are not its. How large it may be is the app's to say."""
        self.app_busy = True
        self.app_body = body_of(head.framing)
        super().data_received(_for_app(head, raw))
        if not self.app_busy:  # refused by the parser
            return b""
        self.cycle.transport = cast(asyncio.Transport, _AnswerTransport(self))
        self._app_keeps_alive = self.cycle.keep_alive
        if self.app_body.is_done:
            return rest
        self.cycle.keep_alive = False  # an answer before the body's end ends the connection
        return self.feed_app(rest)

    def feed_app(self, data: bytes) -> bytes:
        """Give the app more of its request's body; return the bytes that are not its."""
        if not data:
            return data
        try:
            taken = self.app_body.take(data)
        except GymQueueError as error:
            self.refuse_app(error)
            return b""
        super().data_received(data[:taken])
        if self.app_body.is_done and not self.cycle.response_started:
            self.cycle.keep_alive = self._app_keeps_alive and not self.will_close
        return data[taken:] if self.app_busy else b""

    def refuse_app(self, error: GymQueueError) -> None:
        """Answer in the app's place, which may be at work on the request already."""
        self.app_busy = False
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started:
                self.transport.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self.answer_error(error, new_id(), keep_alive=False)

    def send_400_response(self, msg: str) -> None:
        """Refuse what uvicorn's parser does not take."""
        self.refuse_app(RequestMalformed(f"{msg.rstrip('.')}: send valid HTTP/1.1"))

    def on_response_complete(self) -> None:
        """The app has answered: the next request may come."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # idle connections are swept by the gateway
        self.app_busy = False
        if self.app_body.is_done:
            self.after_answer()
        else:
            self.linger()

    def tell_app_of_eof(self) -> None:
        """Wake an app that waits for its client to go."""
        if self.cycle is not None:
            self.cycle.message_event.set()

    async def _run_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app; it hears that its client has ended, or half-closed, and may answer all the same."""
        body_ended = False

        async def receive_or_eof() -> Message:
            nonlocal body_ended
            if body_ended and self.half_closed:
                return {"type": "http.disconnect"}
            message = await receive()
            if body_ended:  # nothing but the client's end wakes it now
                return {"type": "http.disconnect"}
            body_ended = message["type"] == "http.request" and not message.get("more_body")
            return message

        await self._asgi_app(cast(Any, scope), cast(Any, receive_or_eof), cast(Any, send))


def new_id() -> bytes:
    """Return a new request's id."""
    return b"%032x" % random.getrandbits(128)


def _for_app(head: RequestHead, raw: bytes) -> bytes:
    """Return the head for uvicorn; an upgrade, which nothing there serves, is left out."""
    if b"upgrade" not in head.fields:
        return raw
    lines = [b"%b %b HTTP/1.%d\r\n" % (head.method, head.target, 0 if head.is_http_10 else 1), head.rest]
    for name in (
        b"host",
        b"authorization",
        b"cookie",
        b"content-length",
        b"idempotency-key",
        b"x-request-id",
    ):
        if name in head.fields:
            lines.append(b"%b: %b\r\n" % (name, head.fields[name]))
    if head.framing == CHUNKED:
        lines.append(b"transfer-encoding: chunked\r\n")
    if not head.keep_alive:
        lines.append(b"connection: close\r\n")
    return b"".join((*lines, b"\r\n"))
