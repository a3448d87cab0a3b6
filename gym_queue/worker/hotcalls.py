"""The calls that agents make all the time, reset, step and capture_observation: past FastAPI, straight to the process.

The environment's own process parses the body and writes the reply's, so that PNG, base64 and JSON use every core and
this loop only hands bytes on.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from gym_queue.errors import GymQueueError, TooLarge
from gym_queue.protocol.observations import MSGPACK_TYPE
from gym_queue.protocol.sessions import ResetRequest, StepRequest
from gym_queue.web.errors import error_reply
from gym_queue.worker.host import Host

HOT = frozenset({"reset", "step", "capture_observation"})
MAX_BODY_BYTES = 32 << 20
"""A step's body: its longest texts and voice."""
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
            body = await _read(receive)
            if body is None:
                return
            arguments = {"body": body, "msgpack": packed, "request_id": scope["request_id"]}
            if key is None:
                reply, is_replay = await self._host.call(env_id, call, arguments), False
            else:
                work = partial(self._host.call, env_id, call, arguments)
                kind_of_call = (call.encode(), b"msgpack" if packed else b"json", body)
                reply, is_replay = await self._host.get(env_id).replies.once(key, kind_of_call, work)
        except GymQueueError as error:
            await error_reply(error, scope["request_id"])(scope, receive, send)
            return
        heads = [MSGPACK_HEAD if packed else JSON_HEAD, (b"content-length", b"%d" % len(reply))]
        if is_replay:
            heads.append(REPLAYED_HEAD)
        await send({"type": "http.response.start", "status": 200, "headers": heads})
        await send({"type": "http.response.body", "body": reply})


async def _read(receive: Receive) -> bytes | None:
    """Return a request's whole body; None when its client went away before the end of it.

    Raises:
        TooLarge: It is larger than any step.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"the body is larger than {MAX_BODY_BYTES >> 20} MiB: send less in one step")
    return body


def describe_hot_calls(app: FastAPI) -> None:
    """Put the hot calls into the app's OpenAPI schema; HotCalls answers them before the app would."""
    for call, model in (("reset", ResetRequest), ("step", StepRequest), ("capture_observation", None)):
        app.add_api_route(
            f"/envs/{{env_id}}/{call}", _unreached, methods=["POST"], name=call, openapi_extra=_body_of(model)
        )


async def _unreached(env_id: str) -> dict[str, Any]:
    """Reset, step or observe."""
    raise GymQueueError(f"the call about {env_id} went past HotCalls, which is a bug of ours")


def _body_of(model: type[BaseModel] | None) -> dict[str, Any]:
    if model is None:
        return {}
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"content": content, "required": model is StepRequest}}
