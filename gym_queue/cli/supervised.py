"""Being started by another program of ours: telling it when we serve, ending when it ends."""

from __future__ import annotations

import os
import signal
import threading

READY_FD = "GYM_QUEUE_READY_FD"
LIFELINE_FD = "GYM_QUEUE_LIFELINE_FD"


def tell_ready(text: str) -> None:
    """Write one line to the program that started us, if one asked for it."""
    fd = os.environ.pop(READY_FD, None)
    if fd is not None:
        with os.fdopen(int(fd), "w") as pipe:
            pipe.write(text + "\n")


def follow_parent() -> None:
    """End, as by SIGTERM, when the program that started us has gone, however it went."""
    fd = os.environ.pop(LIFELINE_FD, None)
    if fd is None:
        return
    os.set_inheritable(int(fd), False)

    def watch() -> None:
        os.read(int(fd), 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
