"""Frames between the worker and its env processes: a 4-byte length, then MessagePack."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from typing import Any

import msgpack

from gym_queue.errors import RequestInvalid, TooLarge

LENGTH = struct.Struct(">I")
MAX_FRAME_BYTES = 256 << 20
RECEIVE_BYTES = 256 << 10


def pack(message: object) -> bytes:
    """Return a message as one frame.

    Raises:
        RequestInvalid: It holds what MessagePack cannot: half a surrogate pair, or hundreds of nested lists.
        TooLarge: It is larger than a frame.
    """
    try:
        body: bytes = msgpack.packb(message, use_bin_type=True, default=str)
    except ValueError as error:
        raise RequestInvalid(
            f"the message cannot be handed on: {error}; send plain text, less nested"
        ) from error
    if len(body) > MAX_FRAME_BYTES:
        raise TooLarge(
            f"a message of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}: send less at once"
        )
    return LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> Any:
    """Return the next message.

    Raises:
        EOFError: The other side has gone.
    """
    try:
        head = await reader.readexactly(LENGTH.size)
        body = await reader.readexactly(_checked(head))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EOFError("the other side closed the connection") from error
    return _unpack(body)


class FrameReader:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, data: bytes) -> list[Any]:
        """Return the messages that ``data`` completes.

        Raises:
            EOFError: What came is not ours.
        """
        held = self._held
        held += data
        messages = []
        at = 0
        while len(held) - at >= LENGTH.size:
            end = at + LENGTH.size + _checked(held[at : at + LENGTH.size])
            if len(held) < end:
                break
            messages.append(_unpack(bytes(held[at + LENGTH.size : end])))
            at = end
        del held[:at]
        return messages


class FrameSocket:
    """The blocking end, used inside forked processes.

    Args:
        path: The worker's unix socket.
        hello: First message: who is calling.
    """

    def __init__(self, path: str, hello: object) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sending = threading.Lock()  # a step's reply and the close's may come from two threads
        self._frames = FrameReader()
        self._received: deque[Any] = deque()
        self._socket.connect(path)
        self.send(hello)

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._socket.fileno()

    def send(self, message: object) -> None:
        """Send one message.

        Raises:
            OSError: The worker has gone.
            GymQueueError: It cannot be sent, as ``pack`` says.
        """
        frame = pack(message)
        with self._sending:
            self._socket.sendall(frame)

    @property
    def holds_more(self) -> bool:
        """Whether a message is here already, so that the descriptor need not be readable."""
        return bool(self._received)

    def receive(self) -> Any:
        """Return the next message.

        Raises:
            EOFError: The worker has gone.
        """
        while not self._received:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except OSError as error:
                raise EOFError("the worker has gone") from error
            if not data:
                raise EOFError("the worker has gone")
            self._received.extend(self._frames.take(data))
        return self._received.popleft()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _checked(head: bytes | bytearray) -> int:
    size: int = LENGTH.unpack(head)[0]
    if size > MAX_FRAME_BYTES:
        raise EOFError(f"a frame of {size} bytes is not one of ours")
    return size


def _unpack(body: bytes) -> Any:
    try:
        return msgpack.unpackb(body, raw=False, strict_map_key=False)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise EOFError("a frame that is not one of ours") from error
