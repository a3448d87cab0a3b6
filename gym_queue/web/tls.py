"""Callers' certificates: which calls need one."""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gym_queue.errors import Forbidden
from gym_queue.web.errors import error_reply
from gym_queue.web.requestid import RequestIdMiddleware

EXTENSION = "gym_queue.certificate"
"""In the ASGI scope's extensions: whether the caller has shown a certificate of the CA."""


def telling_certificates(protocol: type[HttpToolsProtocol]) -> type[HttpToolsProtocol]:
    """Return a protocol like this one, whose requests say in their scope whether the caller has a certificate."""
    return type("TellingProtocol", (_TellsCertificate, protocol), {})


class _TellsCertificate(HttpToolsProtocol):
    def on_message_begin(self) -> None:
        super().on_message_begin()
        connection = self.transport.get_extra_info("ssl_object")
        has_one = connection is not None and bool(connection.getpeercert())
        self.scope["extensions"] = {EXTENSION: {"shown": has_one}}


class RequireCertificate:
    """Answers 403 to calls that a certificate of the CA must stand behind, and has none.

    Args:
        app: What is behind it.
        paths: Of these calls.
    """

    def __init__(self, app: ASGIApp, paths: Collection[str]) -> None:
        self._app = app
        self._paths = frozenset(paths)
        self._refusal = RequestIdMiddleware(_refuse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        is_meant = scope["type"] == "http" and scope["path"] in self._paths
        is_refused = is_meant and not scope["extensions"][EXTENSION]["shown"]
        await (self._refusal if is_refused else self._app)(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    error = Forbidden(
        f"{scope['path']} is for callers with a certificate of this master's CA: start the worker with --ssl-certfile and --ssl-keyfile, signed by that CA"
    )
    await error_reply(error, scope["request_id"])(scope, receive, send)
