"""The calls that agents make all the time, reset, step and capture_observation: past FastAPI, straight to the process.

The environment's own process parses the body and writes the reply's, so that PNG, base64 and JSON use every core and
this loop only hands bytes on.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from gym_queue.errors import GymQueueError, TooLarge
from gym_queue.protocol.observations import MSGPACK_TYPE
from gym_queue.web.bodylimit import answer_early
from gym_queue.web.errors import error_reply
from gym_queue.worker.host import Host

OBSERVE = "capture_observation"
HOT = frozenset({"reset", "step", OBSERVE})
JSON_HEAD = (b"content-type", b"application/json")
MSGPACK_HEAD = (b"content-type", MSGPACK_TYPE.encode())
REPLAYED_HEAD = (b"idempotency-replayed", b"true")


class HotCalls:
    """Answers the hot calls; everything else goes to the app behind it.

    Args:
        app: What is behind it.
        host: The environments.
    """

    def __init__(self, app: ASGIApp, host: Host) -> None:
        self._app = app
        self._host = host
        self._body_bytes = host.limits.step_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            parts = scope["path"].split("/")
            if len(parts) == 4 and parts[1] == "envs" and parts[3] in HOT:
                await self._serve(parts[2], parts[3], scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _serve(self, env_id: str, call: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        packed = MSGPACK_HEAD[1] in headers.get(b"accept", b"")
        key = headers.get(b"idempotency-key")
        try:
            body = await self._read(receive)
            if body is None:
                return
            arguments = {"body": body, "msgpack": packed, "request_id": scope["request_id"]}
            if key is None:
                reply, is_replay = await self._carry_out(env_id, call, arguments), False
            else:
                reply, is_replay = await self._carry_out_once(key, env_id, call, arguments)
        except GymQueueError as error:
            reply_of_error = error_reply(error, scope["request_id"])
            if isinstance(error, TooLarge):
                reply_of_error.headers["Connection"] = "close"
                await answer_early(reply_of_error, scope, receive, send)
            else:
                await reply_of_error(scope, receive, send)
            return
        heads = [MSGPACK_HEAD if packed else JSON_HEAD, (b"content-length", b"%d" % len(reply))]
        if is_replay:
            heads.append(REPLAYED_HEAD)
        await send({"type": "http.response.start", "status": 200, "headers": heads})
        await send({"type": "http.response.body", "body": reply})

    async def _carry_out(self, env_id: str, call: str, arguments: dict[str, Any]) -> bytes:
        """Carry a call out; of steps and resets one at a time."""
        if call == OBSERVE:
            reply: bytes = await self._host.call(env_id, call, arguments)
            return reply
        env = self._host.get(env_id)
        env.check_free()
        env.running = (call, arguments["request_id"])
        try:
            reply = await self._host.call(env_id, call, arguments)
        finally:
            env.running = None
        return reply

    async def _carry_out_once(
        self, key: bytes, env_id: str, call: str, arguments: dict[str, Any]
    ) -> tuple[bytes, bool]:
        """Carry a call out, or answer as the first call with its key was, or will be."""
        env = self._host.get(env_id)
        if call != OBSERVE and key not in env.replies:
            env.check_free()  # out here, for a refusal is not what the key's next call is to get
        work = partial(self._carry_out, env_id, call, arguments)
        asked = (call.encode(), b"msgpack" if arguments["msgpack"] else b"json", arguments["body"])
        return await env.replies.once(key, asked, work)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return a request's whole body; None when its client went away before the end of it.

        Raises:
            TooLarge: It is larger than any step.
        """
        parts, size, more = list[bytes](), 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > self._body_bytes:
                raise TooLarge(f"the body is larger than the {self._body_bytes:,} bytes of a step: send less")
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def route_hot_calls(app: FastAPI) -> None:
    """Let the app know the hot calls, so that it refuses their other methods; HotCalls answers them before it would."""
    for call in sorted(HOT):
        app.add_api_route(f"/envs/{{env_id}}/{call}", _unreached, methods=["POST"], name=call)


async def _unreached(env_id: str) -> None:
    """Answer nothing."""
    raise GymQueueError(f"the call about {env_id} went past HotCalls, which is a bug of ours")
