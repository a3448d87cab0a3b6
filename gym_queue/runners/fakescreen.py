"""The ``fake`` runner's viewers: a server that says RFB's version, then sends back what it is sent when it may act."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

VERSION = b"RFB 003.008\n"
RECEIVE_BYTES = 64 << 10


class FakeScreen:
    """Listens on a unix socket from the start; each viewer has a thread.

    Args:
        path: Of the socket.
        control: Whether what viewers send comes back; otherwise it is read and dropped.
    """

    def __init__(self, path: Path, *, control: bool) -> None:
        self.path, self._control = path, control
        self._viewers: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=self._accept, name="fake-screen", daemon=True).start()

    def close(self) -> None:
        """Hang up on all viewers, and take no more."""
        with self._lock:
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the accept, which close alone does not
            self._listening.close()
            for viewer in self._viewers:
                viewer.shutdown(socket.SHUT_RDWR)
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                viewer = self._listening.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(viewer,), name="fake-viewer", daemon=True).start()

    def _serve(self, viewer: socket.socket) -> None:
        with self._lock:
            self._viewers.add(viewer)
        try:
            viewer.sendall(VERSION)
            while piece := viewer.recv(RECEIVE_BYTES):
                if self._control:
                    viewer.sendall(piece)
        except OSError:
            return  # the viewer went
        finally:
            with self._lock:
                self._viewers.discard(viewer)
                viewer.close()
