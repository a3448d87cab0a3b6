"""A raw server that answers every request with given pieces of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager


@asynccontextmanager
async def answering(*pieces: bytes, hang_up: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Yield the server's URL and the heads it was sent; each piece goes out on its own."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if hang_up:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


def reply(body: bytes, status: str = "200 OK") -> Sequence[bytes]:
    """Return a reply cut in three, once in its head and once in its body."""
    whole = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)
    return whole[:20], whole[20:-1], whole[-1:]
