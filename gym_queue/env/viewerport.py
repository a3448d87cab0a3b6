"""A port of this machine that shows an environment's screen to viewers."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

from gym_queue.runners.display.viewer import connect_viewer

CHUNK_BYTES = 1 << 16


class ViewerPort:
    """Passes bytes between viewers of this machine and the socket of a screen, which may change meanwhile.

    Whoever has an account on this machine can connect: what is asked of them besides is the spec's ``vnc.password``.
    """

    def __init__(self) -> None:
        self._screen: Path | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._door: socket.socket | None = None

    @property
    def number(self) -> int:
        """The port; 0 before the first ``show``."""
        return 0 if self._door is None else int(self._door.getsockname()[1])

    @property
    def address(self) -> str:
        """Where viewers connect."""
        return f"vnc://127.0.0.1:{self.number}"

    def show(self, screen: Path) -> None:
        """Show a screen to the viewers that connect from now on.

        Args:
            screen: The socket of its RFB server.
        """
        self._screen = screen
        if self._door is None:
            self._door = socket.create_server(("127.0.0.1", 0))
            threading.Thread(target=self._serve, args=(self._door,), name="viewers", daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more, and send the viewers away. Safe to call twice."""
        with self._lock:
            ends = [*self._open, *([self._door] if self._door else [])]
            self._door = None
        for end in ends:
            with contextlib.suppress(OSError):  # it may have ended just now
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _serve(self, door: socket.socket) -> None:
        while True:
            try:
                viewer, _ = door.accept()
            except OSError:  # closed
                return
            try:
                assert self._screen is not None  # noqa: S101  show came before
                screen = connect_viewer(self._screen)
            except OSError:
                viewer.close()
                continue
            screen.settimeout(None)  # blocking
            with self._lock:
                self._open |= {viewer, screen}
            for source, target in ((viewer, screen), (screen, viewer)):
                threading.Thread(target=self._pass, args=(source, target), name="viewer", daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)  # its other direction ends too
        with self._lock:
            self._open.discard(source)
        source.close()
