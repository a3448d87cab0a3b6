"""A viewer: RFB 3.8 (RFC 6143) over a WebSocket, as noVNC speaks it, with raw pixels."""

from __future__ import annotations

import struct
from types import TracebackType

import numpy as np
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from numpy.typing import NDArray
from websockets.sync.client import ClientConnection, connect

TIMEOUT_S = 20.0
NONE, VNC_AUTH = 1, 2


class Viewer:
    """Connected and through the handshake.

    Args:
        url: ws:// or wss://.
        headers: Of the upgrade.
        password: For a server that asks for one.
        fields: For ``websockets``.
    """

    def __init__(
        self, url: str, headers: dict[str, str] | None = None, *, password: str = "", **fields
    ) -> None:
        connected = connect(
            url,
            additional_headers=headers,
            open_timeout=TIMEOUT_S,
            max_size=None,
            proxy=None,
            compression=None,
            **fields,
        )
        self.socket: ClientConnection = connected.__enter__()
        self._held = b""
        self.security = 0
        try:
            self._shake_hands(password)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Viewer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def look(self, *, incremental: bool = False) -> NDArray[np.uint8]:
        """Return the pixels of the next update, drawn on what was there: (height, width, 4), BGRX."""
        self.socket.send(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))
        while (kind := self._take(1)[0]) != 0:
            self._skip(kind)
        for _ in range(struct.unpack(">xH", self._take(3))[0]):
            x, y, width, height, encoding = struct.unpack(">HHHHi", self._take(12))
            assert encoding == 0
            pixels = np.frombuffer(self._take(width * height * 4), np.uint8).reshape(height, width, 4)
            self.pixels[y : y + height, x : x + width] = pixels
        return self.pixels.copy()

    def press(self, keysym: int) -> None:
        """Press and release a key."""
        for down in (1, 0):
            self.socket.send(struct.pack(">BBHI", 4, down, 0, keysym))

    def point(self, x: int, y: int, buttons: int = 0) -> None:
        """Move the pointer."""
        self.socket.send(struct.pack(">BBHH", 5, buttons, x, y))

    def drain(self) -> None:
        """Read until the server ends; raises ConnectionClosed then."""
        while True:
            self.socket.recv(TIMEOUT_S)

    def _shake_hands(self, password: str) -> None:
        assert self._take(12) == b"RFB 003.008\n"
        self.socket.send(b"RFB 003.008\n")
        offered = self._take(self._take(1)[0])
        self.security = VNC_AUTH if VNC_AUTH in offered else NONE
        self.socket.send(bytes([self.security]))
        if self.security == VNC_AUTH:
            self.socket.send(_answer(self._take(16), password))
        (refused,) = struct.unpack(">I", self._take(4))
        if refused:
            raise PermissionError(self._take(struct.unpack(">I", self._take(4))[0]).decode())
        self.socket.send(b"\x01")  # others may watch as well
        self.width, self.height = struct.unpack(">HH", self._take(4))
        self._take(16)
        self.name = self._take(struct.unpack(">I", self._take(4))[0]).decode()
        self.socket.send(struct.pack(">Bxxx4B3H3Bxxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        self.socket.send(struct.pack(">BxHi", 2, 1, 0))
        self.pixels = np.zeros((self.height, self.width, 4), np.uint8)

    def _skip(self, kind: int) -> None:
        if kind == 3:
            self._take(struct.unpack(">xxxI", self._take(7))[0])
        else:
            assert kind == 2, f"the server says {kind}"  # the bell

    def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            piece = self.socket.recv(TIMEOUT_S)
            assert isinstance(piece, bytes)
            self._held += piece
        taken, self._held = self._held[:size], self._held[size:]
        return taken


def _answer(challenge: bytes, password: str) -> bytes:
    """RFC 6143, section 7.2.2: DES, its key's bits mirrored in each byte; triple DES with one key is DES."""
    key = password.encode()[:8].ljust(8, b"\0")
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    encryptor = Cipher(TripleDES(mirrored * 3), modes.ECB()).encryptor()
    return encryptor.update(challenge) + encryptor.finalize()
