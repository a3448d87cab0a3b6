"""Asking a worker for what the master reads whole: no longer than it may be, whatever the worker sends."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from gym_queue.errors import BadReply


async def ask_worker(
    client: httpx.AsyncClient, url: str, *, params: Mapping[str, str | int | float], most_bytes: int
) -> tuple[int, bytes]:
    """Return a reply's status and body. How long that may take is the caller's to limit.

    Args:
        client: Bears the workers' token.
        url: Of the call.
        params: Its query.
        most_bytes: Longest body that is read.

    Raises:
        httpx.HTTPError, httpx.InvalidURL: There is no answer.
        BadReply: As ``read_bounded``.
    """
    headers = {"Accept-Encoding": "identity"}
    async with client.stream("GET", url, params=params, headers=headers) as reply:
        return reply.status_code, await read_bounded(reply, most_bytes)


async def read_bounded(reply: httpx.Response, most_bytes: int) -> bytes:
    """Return the body of a reply that was opened as a stream.

    Raises:
        httpx.HTTPError: It breaks off.
        BadReply: It is longer than ``most_bytes``, or packed: what is may unpack to any length.
    """
    if reply.headers.get("content-encoding", "identity") != "identity":
        raise BadReply(f"{reply.url} answers packed, which it was not asked for: look what serves there")
    body = bytearray()
    async for part in reply.aiter_bytes():
        body += part
        if len(body) > most_bytes:
            raise BadReply(f"{reply.url} answers with more than {most_bytes} bytes: look what serves there")
    return bytes(body)
