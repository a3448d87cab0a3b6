"""Where the screen changed since it was last looked at; the server says when looking is worth while."""

from __future__ import annotations

import logging
import struct

from gym_queue.runners.display.capture import Capture
from gym_queue.runners.display.connection import Connection
from gym_queue.runners.display.settle import Tile, changed_tiles

logger = logging.getLogger(__name__)

_VERSION, _CREATE, _SUBTRACT = 0, 1, 3
_ONCE = 3
"""Report the first damage only, until it is subtracted (DamageReportNonEmpty)."""


class Damage:
    """What the server tells of drawing, which is not yet what changes: programs draw again what is there already.

    Args:
        connection: The server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_damaged = True
        self._event, self._subtract = self._ask_for_damage()

    @property
    def is_told(self) -> bool:
        """Whether the server tells of what is drawn."""
        return self._subtract is not None

    @property
    def is_damaged(self) -> bool:
        """Whether something may have been drawn since ``clear``, as far as the events seen tell."""
        return self._is_damaged or not self.is_told

    def see(self, event: bytes) -> None:
        """Take note of an event of the server."""
        if event[0] & 0x7F == self._event:
            self._is_damaged = True

    def clear(self) -> None:
        """Ask to be told anew; a picture is taken afterwards, so that what is drawn later is told again."""
        self._is_damaged = False
        if self._subtract is not None:
            self._connection.send(self._subtract)

    def _ask_for_damage(self) -> tuple[int | None, bytes | None]:
        extension = self._connection.extension("DAMAGE")
        if extension is None:
            logger.warning("the X server has no DAMAGE extension: the screen is polled for changes")
            return None, None
        self._connection.ask(struct.pack("<BBHII", extension.major, _VERSION, 3, 1, 1))
        damage, root = self._connection.new_id(), self._connection.screen.root
        self._connection.send(struct.pack("<BBHIIBxxx", extension.major, _CREATE, 4, damage, root, _ONCE))
        return extension.first_event, struct.pack("<BBHIII", extension.major, _SUBTRACT, 4, damage, 0, 0)


class ScreenWatch:
    """Compares the screen with how it was at the last look.

    The server's damage decides when to look, and the pixels decide what changed. Without the extension every look
    is worth while.

    Args:
        connection: The server.
        capture: Takes the pictures.
    """

    def __init__(self, connection: Connection, capture: Capture) -> None:
        self._capture = capture
        self._damage = Damage(connection)
        self._last = capture.screen().copy()

    @property
    def is_told(self) -> bool:
        """Whether the server tells of what is drawn."""
        return self._damage.is_told

    @property
    def is_damaged(self) -> bool:
        """Whether something may have been drawn since the last look, as far as the events seen tell."""
        return self._damage.is_damaged

    def see(self, event: bytes) -> None:
        """Take note of an event of the server."""
        self._damage.see(event)

    def look(self) -> set[Tile]:
        """Return where the screen differs from the last look's."""
        self._damage.clear()
        screen = self._capture.screen()
        tiles = changed_tiles(self._last, screen)
        if tiles:
            self._last[:] = screen
        return tiles
