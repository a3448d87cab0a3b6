"""A call's stream as an end of a local socket, for those who know sockets alone."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

from gym_queue.errors import GymQueueError
from gym_queue.runners.qemu.guest.stream import Stream

READ_BYTES = 65536
SEND_TIMEOUT_S, READ_S = 60.0, 3600.0


def bridge(stream: Stream) -> socket.socket:
    """Return one end of a pair of sockets; what goes in comes out of the stream's other side, and back."""
    ours, theirs = socket.socketpair()
    for copy in (_outward, _inward):
        threading.Thread(target=copy, args=(stream, ours), name=f"guest-{copy.__name__}", daemon=True).start()
    return theirs


def _outward(stream: Stream, ours: socket.socket) -> None:
    """Take what the socket's owner sends into the guest; the stream ends with it."""
    with suppress(OSError, GymQueueError):  # the machine is gone: the owner finds the socket closed
        while data := ours.recv(READ_BYTES):
            stream.write(data, timeout_s=SEND_TIMEOUT_S)
        stream.kill()


def _inward(stream: Stream, ours: socket.socket) -> None:
    with suppress(OSError, GymQueueError):
        while (data := stream.read(time.monotonic() + READ_S)) != b"":
            ours.sendall(data or b"")
    with suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)
    ours.close()
