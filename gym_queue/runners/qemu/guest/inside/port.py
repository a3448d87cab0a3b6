"""The guest's end of the port: a virtio-serial device, or a unix socket where there is no virtual machine."""

from __future__ import annotations

import contextlib
import os
import select
import socket

READ_BYTES = 65536
UNIX = "unix:"


class Port:
    """The way to the host, which comes and goes.

    Args:
        path: Of the device; or ``unix:`` and where to listen.
    """

    def __init__(self, path: str) -> None:
        self.fd = -1
        """While the host is there; -1 otherwise."""
        self._listener = None if not path.startswith(UNIX) else socket.socket(socket.AF_UNIX)
        self._connection: socket.socket | None = None
        self._device = -1
        if self._listener is None:
            self._device = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        else:
            self._listener.bind(path[len(UNIX) :])
            self._listener.listen(8)
            self._listener.settimeout(0)

    def find_host(self) -> bool:
        """Return whether the host is there; never waits."""
        if self._listener is None:
            poll = select.poll()
            poll.register(self._device, select.POLLIN)
            is_away = any(events & select.POLLHUP for _, events in poll.poll(0))
            self.fd = -1 if is_away else self._device
        else:
            with contextlib.suppress(BlockingIOError):
                self._connection, _ = self._listener.accept()
                self._connection.settimeout(0)
                self.fd = self._connection.fileno()
        return self.fd >= 0

    def read(self) -> bytes:
        """Return what came, if anything did; raises EOFError when the host hung up."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        return data

    def write(self, data: bytearray) -> None:
        """Send what can be sent now of ``data``, and take it off; raises EOFError when the host hung up."""
        try:
            with memoryview(data)[:READ_BYTES] as piece:
                sent = os.write(self.fd, piece)
            del data[:sent]
        except BlockingIOError:
            return
        except OSError as error:
            raise EOFError from error

    def let_go(self) -> None:
        """Forget the host that hung up."""
        self.fd = -1
        if self._connection is not None:
            self._connection.close()
            self._connection = None
