"""Bytes between a viewer's WebSocket and the socket of a screen's server, no faster than either side takes them."""

from __future__ import annotations

import asyncio
import socket

from starlette.types import Receive, Send

PIECE_BYTES = 64 << 10
GOING_AWAY, UNSUPPORTED_DATA = 1001, 1003
"""Why a WebSocket is closed (RFC 6455, section 7.4.1)."""


async def relay(screen: socket.socket, receive: Receive, send: Send) -> None:
    """Pass bytes on, both ways, until either side ends; then end the other.

    Args:
        screen: Connected; closed when this returns.
        receive: Of an accepted WebSocket.
        send: Of the same.
    """
    reader, writer = await asyncio.open_unix_connection(sock=screen, limit=PIECE_BYTES)
    to_viewer = asyncio.ensure_future(_show(reader, send))
    to_screen = asyncio.ensure_future(_act(receive, writer))
    try:
        await asyncio.wait((to_viewer, to_screen), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (to_viewer, to_screen):
            task.cancel()
        codes = await asyncio.gather(to_viewer, to_screen, return_exceptions=True)
        writer.transport.abort()
    code = next((code for code in codes if isinstance(code, int)), None)
    if code is not None:
        reason = "the screen is gone" if code == GOING_AWAY else "send binary frames"
        await send({"type": "websocket.close", "code": code, "reason": reason})
    for error in codes:
        if isinstance(error, Exception) and not isinstance(error, OSError):
            raise error  # a bug: what ends a connection is an OSError


async def _show(reader: asyncio.StreamReader, send: Send) -> int:
    """Send what the screen says; return why it ended."""
    try:
        while piece := await reader.read(PIECE_BYTES):
            await send({"type": "websocket.send", "bytes": piece})
    except ConnectionResetError:
        return GOING_AWAY
    return GOING_AWAY


async def _act(receive: Receive, writer: asyncio.StreamWriter) -> int | None:
    """Hand the viewer's bytes to the screen; return why it ended, None when the viewer went."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return None
        piece = message.get("bytes")
        if piece is None:
            return UNSUPPORTED_DATA
        try:
            writer.write(piece)
            await writer.drain()
        except ConnectionError:
            return GOING_AWAY
