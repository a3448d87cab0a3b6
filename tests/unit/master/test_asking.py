"""What a worker answers to the master's own calls is bounded, whatever serves there."""

from __future__ import annotations

import asyncio
import zlib

import httpx
import pytest

from gym_queue.master.asking import UNBOUNDED, BoundedTransport


def ask(reply: httpx.Response, **extensions: object) -> bytes:
    async def run() -> bytes:
        inner = httpx.MockTransport(lambda _request: reply)
        async with httpx.AsyncClient(transport=BoundedTransport(inner, most_bytes=10)) as client:
            return (await client.get("http://worker", extensions=extensions)).content

    return asyncio.run(run())


def test_what_is_as_long_as_may_be_is_read() -> None:
    assert ask(httpx.Response(200, content=b"x" * 10)) == b"x" * 10


def test_what_is_longer_is_broken_off_unless_it_is_handed_on() -> None:
    with pytest.raises(httpx.ReadError, match="more than 10 bytes"):
        ask(httpx.Response(200, content=b"x" * 11))
    assert ask(httpx.Response(200, content=b"x" * 11), **{UNBOUNDED: True}) == b"x" * 11


def test_what_is_packed_is_not_unpacked() -> None:
    packed = {"content-encoding": "deflate"}
    with pytest.raises(httpx.ReadError, match="packed"):
        ask(httpx.Response(200, headers=packed, content=zlib.compress(b"")))
