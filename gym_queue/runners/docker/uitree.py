"""What programs say of their windows' content (AT-SPI), asked by a script that waits in the container.

The script answers on a socket in the X server's folder: to start Python and read the registry for each observation
would take a third of a second.
"""

from __future__ import annotations

import logging
import shlex
import socket
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from gym_queue.runners.display.connection import connect_to
from gym_queue.runners.docker.create import X11_FOLDER

logger = logging.getLogger(__name__)

SOCKET = "ui-tree"
START_S = 5.0
RETRY_S = 0.05
ANSWER_S = 3.0
MAX_BYTES = 1 << 20
PIECE_BYTES = 1 << 16


def tree_script() -> str:
    """Return the command that answers as long as it runs; it fails where the image lacks Python or AT-SPI."""
    program = resources.files("gym_queue.runners.docker").joinpath("uitree_inside.py").read_text()
    return f"exec python3 -c {shlex.quote(program)} {X11_FOLDER}/{SOCKET}"


class UiTree:
    """Asks the script. Used by one thread.

    Args:
        path: Its socket, on this side.
        has_ended: Returns whether the script ended.
    """

    def __init__(self, path: Path, has_ended: Callable[[], bool]) -> None:
        self._path, self._has_ended = path, has_ended
        self._is_up = False

    def read(self) -> str | None:
        """Return the elements, one a line; None when nothing answers or no program takes part."""
        deadline = time.monotonic() + (ANSWER_S if self._is_up else START_S)
        while not self._has_ended():
            try:
                return self._ask() or None
            except (FileNotFoundError, ConnectionRefusedError):  # it is starting
                if time.monotonic() >= deadline:
                    return None
                time.sleep(RETRY_S)
            except OSError as error:
                logger.warning("the container's ui tree does not answer: %s", error)
                return None
        return None

    def _ask(self) -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(ANSWER_S)
            connect_to(sock, self._path)
            self._is_up = True
            found = bytearray()
            while len(found) < MAX_BYTES and (piece := sock.recv(PIECE_BYTES)):
                found += piece
        return found.decode("utf-8", "replace")
