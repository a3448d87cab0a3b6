"""What workers answer to the master's own calls: no longer than it may be, whatever serves there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

MOST_BYTES = 8 << 20
"""Longest reply that is read whole."""
UNBOUNDED = "unbounded"
"""Extension of a request whose reply is handed on as it comes."""


class BoundedTransport(httpx.AsyncBaseTransport):
    """Breaks off replies that are too long, or packed, which they were not asked to be: they may unpack to any length.

    Args:
        inner: Makes the calls.
        most_bytes: Longest body, but of requests with the extension UNBOUNDED.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, most_bytes: int = MOST_BYTES) -> None:
        self._inner, self._most_bytes = inner, most_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call.

        Raises:
            httpx.ReadError: The reply is packed; where its body is read: it is too long.
        """
        request.headers["Accept-Encoding"] = "identity"
        reply = await self._inner.handle_async_request(request)
        if UNBOUNDED in request.extensions:
            return reply
        if reply.headers.get("content-encoding", "identity") != "identity":
            await reply.aclose()
            raise httpx.ReadError("it answers packed, which it was not asked for")
        assert isinstance(reply.stream, httpx.AsyncByteStream)  # noqa: S101  as every transport's of this kind
        stream = _Bounded(reply.stream, self._most_bytes)
        return httpx.Response(
            reply.status_code, headers=reply.headers, stream=stream, extensions=reply.extensions
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, most_bytes: int) -> None:
        self._stream, self._most_bytes = stream, most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most_bytes
        async for part in self._stream:
            left -= len(part)
            if left < 0:
                raise httpx.ReadError(f"it answers with more than {self._most_bytes} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


async def read_bounded(reply: httpx.Response, most_bytes: int) -> bytes:
    """Return the body of a reply that was opened as a stream.

    Raises:
        httpx.HTTPError: It breaks off, is packed, or longer than ``most_bytes``.
    """
    if reply.headers.get("content-encoding", "identity") != "identity":
        raise httpx.ReadError("it answers packed, which it was not asked for")
    body = bytearray()
    async for part in reply.aiter_bytes():
        body += part
        if len(body) > most_bytes:
            raise httpx.ReadError(f"it answers with more than {most_bytes} bytes")
    return bytes(body)
