"""The streams of one command in a container, framed by the daemon on one connection."""

from __future__ import annotations

import socket
import struct
import threading

STDOUT, STDERR = 1, 2
MIN_WAIT_S = 0.001  # a socket's timeout of 0 means something else
_HEAD = struct.Struct(">BxxxI")  # docs.docker.com/engine/api: ContainerAttach, stream format


class ExecStream:
    """What a command reads and writes. One thread receives; ``close`` may come from another.

    Args:
        connection: As the daemon handed it over; closed with this.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self._closing = threading.Lock()
        self._is_closed = False

    def send(self, data: bytes, *, timeout_s: float) -> None:
        """Write to the command's standard input.

        Raises:
            OSError: It is not there any more, or does not read.
        """
        self._connection.settimeout(timeout_s)
        self._connection.sendall(data)

    def receive(self, timeout_s: float) -> tuple[int, bytes] | None:
        """Return the next piece and the stream it is of; None when none came in time.

        Raises:
            EOFError: The command has ended, or this was closed.
        """
        piece = self._take()
        if piece is not None:
            return piece
        try:
            self._connection.settimeout(max(MIN_WAIT_S, timeout_s))
            chunk = self._connection.recv(1 << 18)
        except TimeoutError:
            return None
        except OSError as error:  # reset by the daemon, or closed by another thread
            raise EOFError from error
        if not chunk:
            raise EOFError
        self._buffer += chunk
        return self._take()

    def _take(self) -> tuple[int, bytes] | None:
        if len(self._buffer) < _HEAD.size:
            return None
        stream, size = _HEAD.unpack_from(self._buffer)
        end = _HEAD.size + size
        if len(self._buffer) < end:
            return None
        piece = bytes(self._buffer[_HEAD.size : end])
        del self._buffer[:end]
        return stream, piece

    def close(self) -> None:
        """Hang up; a ``receive`` of another thread ends with EOFError."""
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                try:
                    self._connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return  # the daemon hung up first
                finally:
                    self._connection.close()
