"""Connections to the X server inside a machine."""

from __future__ import annotations

import socket

from gym_queue.errors import RunnerFailed
from gym_queue.runners.display.connection import REPLY_TIMEOUT_S, Connection


def greet(stream: socket.socket) -> Connection:
    """Return a client's connection to the X server at the other end of a stream.

    Args:
        stream: Owned by the connection from here on; closed when there is none.

    Raises:
        RunnerFailed: The server does not answer, or refuses.
    """
    try:
        stream.settimeout(REPLY_TIMEOUT_S)
        return Connection(stream, None)
    except OSError as error:
        stream.close()
        raise RunnerFailed(f"the X server inside the virtual machine does not answer: {error}") from error
    except BaseException:
        stream.close()
        raise
