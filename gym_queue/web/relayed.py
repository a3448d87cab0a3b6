"""Another program's answer handed on to a browser's page, byte for byte as it comes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import httpx
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

GUARD: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
"""A file of an environment is nobody's page, whatever it says of itself."""


class Relayed(StreamingResponse):
    """Another program's answer on its way.

    Args:
        reply: Opened as a stream; closed however this one ends.
        headers: What is said of it, besides GUARD.
    """

    def __init__(self, reply: httpx.Response, headers: Mapping[str, str]) -> None:
        super().__init__(reply.aiter_raw(), reply.status_code, {**headers, **GUARD})
        self._reply = reply
        self._is_stream = headers.get("content-type", "").startswith("text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand it on, and let the connection to its sender go however that ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._reply.aclose()

    async def stream_response(self, send: Send) -> None:
        """Send what comes; an answer that breaks off is not made to look whole."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for chunk in _bytes(self.body_iterator):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except httpx.HTTPError as error:
            logger.info("an answer that is handed on broke off: %s", str(error) or type(error).__name__)
            if not self._is_stream:
                return  # the server hangs up
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _bytes(chunks: Any) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
