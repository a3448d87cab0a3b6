"""What a viewer may say to QEMU's RFB server: its messages, one by one, and only those of known length.

Source: RFC 6143, sections 7.1 to 7.5; QEMU's own messages: https://github.com/rfbproto/rfbproto/blob/master/rfbproto.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Generator

_VERSIONS = (b"RFB 003.007\n", b"RFB 003.008\n")
_NONE, _VNC_AUTHENTICATION = 1, 2
_RESPONSE_BYTES = 16
_SHARED = b"\x01"
_SET_PIXEL_FORMAT, _SET_ENCODINGS, _UPDATE_REQUEST, _KEY, _POINTER, _CUT_TEXT, _QEMU = 0, 2, 3, 4, 5, 6, 255
_REST_BYTES = {_SET_PIXEL_FORMAT: 19, _UPDATE_REQUEST: 9, _KEY: 7, _POINTER: 5}
_EXTENDED_KEY, _EXTENDED_KEY_REST_BYTES = 0, 10
_EXTENDED_KEYS = -258
_ENCODINGS = frozenset(
    {
        *(0, 1, 2, 5, 6, 7, 16, -260),  # raw, copy, RRE, hextile, zlib, tight, ZRLE, tight with PNGs
        *range(-32, -22),  # quality of JPEGs
        *range(-256, -246),  # compression
        *(-223, -224, -239, -314),  # another size, last rectangle, the pointer's image
    }
)
"""What changes what the server sends alone; not what makes viewers send more, which could not be told apart here."""
CHUNK_BYTES = 1 << 16
MAX_CUT_TEXT_BYTES = 1 << 20
NUDGE = struct.pack(">B3xI", _CUT_TEXT, 1) + b" "
"""QEMU looks at the screen less and less often while nothing changes, down to each 3 s, until a viewer sends a message
that it takes for input. A clipboard without a guest to give it to is the one that does nothing else."""


class UnknownMessage(Exception):
    """A viewer said what cannot be taken apart."""


class ViewerFilter:
    """Lets through what a viewer may say, from its first byte.

    The security handshake is QEMU's: what the viewer answers is handed on. Viewers always share the screen, and their
    clipboards are theirs.

    Args:
        control: Whether keys and the pointer are let through.
    """

    def __init__(self, *, control: bool) -> None:
        self._control = control
        self._held = bytearray()
        self._passed = bytearray()
        self._parser = self._parse()
        self._wanted = next(self._parser)
        self.is_open = False
        """Whether the handshake is over, as far as the viewer has its part in it."""

    def feed(self, data: bytes) -> bytes:
        """Return what QEMU is sent for what a viewer sent: whole messages.

        Raises:
            UnknownMessage: The viewer speaks another version, or sends a message that is not known.
        """
        self._held += data
        while len(self._held) >= self._wanted:
            taken = bytes(self._held[: self._wanted])
            del self._held[: self._wanted]
            self._wanted = self._parser.send(taken)
        passed = bytes(self._passed)
        self._passed.clear()
        return passed

    def _parse(self) -> Generator[int, bytes, None]:
        """Yield how many bytes are needed next, and take them."""
        version = yield 12
        if version not in _VERSIONS:
            raise UnknownMessage(f"the version {version!r}")
        self._passed += version
        security = yield 1
        self._passed += security
        if security[0] == _VNC_AUTHENTICATION:
            self._passed += yield _RESPONSE_BYTES
        elif security[0] != _NONE:
            raise UnknownMessage(f"security type {security[0]}")
        yield 1
        self._passed += _SHARED
        self.is_open = True
        while True:
            kind = yield 1
            yield from self._take_message(kind)

    def _take_message(self, kind: bytes) -> Generator[int, bytes, None]:
        number = kind[0]
        if number in _REST_BYTES:
            message = kind + (yield _REST_BYTES[number])
            self._let_through(message, is_input=number in (_KEY, _POINTER))
        elif number == _SET_ENCODINGS:
            yield from self._take_encodings()
        elif number == _CUT_TEXT:
            yield from self._skip_cut_text()
        elif number == _QEMU:
            which = yield 1
            if which[0] != _EXTENDED_KEY:
                raise UnknownMessage(f"message {number}.{which[0]}")
            self._let_through(kind + which + (yield _EXTENDED_KEY_REST_BYTES), is_input=True)
        else:
            raise UnknownMessage(f"message {number}")

    def _take_encodings(self) -> Generator[int, bytes, None]:
        (count,) = struct.unpack(">xH", (yield 3))
        listed = struct.unpack(f">{count}i", (yield 4 * count)) if count else ()
        allowed = _ENCODINGS | {_EXTENDED_KEYS} if self._control else _ENCODINGS
        kept = [each for each in listed if each in allowed]
        self._passed += struct.pack(f">BxH{len(kept)}i", _SET_ENCODINGS, len(kept), *kept)

    def _skip_cut_text(self) -> Generator[int, bytes, None]:
        (length,) = struct.unpack(">3xi", (yield 7))
        left = abs(length)  # negative: of an extension
        if left > MAX_CUT_TEXT_BYTES:
            raise UnknownMessage(f"a clipboard of {left} bytes")
        while left:
            left -= len((yield min(left, CHUNK_BYTES)))

    def _let_through(self, message: bytes, *, is_input: bool) -> None:
        if self._control or not is_input:
            self._passed += message
