"""The windows of a screen, by name and place, as the X server knows them.

Source: X Window System Protocol (QueryTree, GetWindowAttributes, GetGeometry, GetProperty); EWMH for _NET_WM_NAME.
"""

from __future__ import annotations

import struct

from gym_queue.runners.display.connection import Connection, RequestRefused

MAX_DEPTH = 6
"""Below the root; a window manager's frames take two."""
MAX_WINDOWS = 500
MAX_TITLE_WORDS = 64
_ATTRIBUTES, _GEOMETRY, _TREE, _ATOM, _PROPERTY = 3, 14, 15, 16, 20
_VIEWABLE = 2
_ANY_TYPE, _WM_NAME, _WM_CLASS = 0, 39, 67


class WindowTree:
    """Lists the windows that show. Used by the thread that uses the connection.

    Args:
        connection: The server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._net_name = self._atom("_NET_WM_NAME")
        self._net_active = self._atom("_NET_ACTIVE_WINDOW")
        self._net_clients = self._atom("_NET_CLIENT_LIST")
        self._left = 0

    def read(self) -> str:
        """Return the windows that show and have a name, one a line, the lowest first, children indented."""
        root = self._connection.screen.root
        active = self._words(root, self._net_active)
        self._left = MAX_WINDOWS
        lines: list[str] = []
        self._list_children(root, (0, 0), 0, active[0] if active else None, lines)
        return "\n".join(lines)

    def managed(self) -> frozenset[int]:
        """Return the windows that the window manager has, as it tells; one question, where ``read`` takes many."""
        return frozenset(self._words(self._connection.screen.root, self._net_clients))

    def _list_children(
        self,
        window: int,
        place: tuple[int, int],
        depth: int,
        active: int | None,
        lines: list[str],
        indent: int = 0,
    ) -> None:
        for child in self._children(window):
            if self._left <= 0:
                return
            self._left -= 1
            try:
                self._list(child, place, depth + 1, active, lines, indent)
            except RequestRefused:  # it was closed meanwhile
                continue

    def _list(
        self,
        window: int,
        place: tuple[int, int],
        depth: int,
        active: int | None,
        lines: list[str],
        indent: int,
    ) -> None:
        attributes, geometry = self._connection.ask_all(
            struct.pack("<BxHI", _ATTRIBUTES, 2, window), struct.pack("<BxHI", _GEOMETRY, 2, window)
        )
        if attributes[26] != _VIEWABLE:
            return
        left, top, width, height, border = struct.unpack_from("<hhHHH", geometry, 12)
        here = (place[0] + left + border, place[1] + top + border)
        name = self._text(window, self._net_name) or self._text(window, _WM_NAME)
        if name and here[0] + width > 0 and here[1] + height > 0:
            kind = self._text(window, _WM_CLASS).rstrip("\0").rpartition("\0")[2]
            mark = " active" if window == active else ""
            lines.append(
                f'{"  " * indent}window "{name}" {kind} at {here[0]},{here[1]} size {width}x{height}{mark}'
            )
            indent += 1
        if depth < MAX_DEPTH:
            self._list_children(window, here, depth, active, lines, indent)

    def _children(self, window: int) -> tuple[int, ...]:
        try:
            reply = self._connection.ask(struct.pack("<BxHI", _TREE, 2, window))
        except RequestRefused:
            return ()
        (count,) = struct.unpack_from("<H", reply, 16)
        return struct.unpack_from(f"<{count}I", reply, 32)

    def _text(self, window: int, atom: int) -> str:
        return self._value(window, atom).decode("utf-8", "replace")

    def _words(self, window: int, atom: int) -> tuple[int, ...]:
        value = self._value(window, atom)
        return struct.unpack(f"<{len(value) // 4}I", value[: len(value) // 4 * 4])

    def _value(self, window: int, atom: int) -> bytes:
        request = struct.pack("<BBHIIIII", _PROPERTY, 0, 6, window, atom, _ANY_TYPE, 0, MAX_TITLE_WORDS)
        reply = self._connection.ask(request)
        (count,) = struct.unpack_from("<I", reply, 16)
        return bytes(reply[32 : 32 + count * max(1, reply[1] // 8)])

    def _atom(self, name: str) -> int:
        raw = name.encode()
        request = struct.pack("<BxHHxx", _ATOM, 2 + -(-len(raw) // 4), len(raw)) + raw + bytes(-len(raw) % 4)
        (found,) = struct.unpack_from("<I", self._connection.ask(request), 8)
        return int(found)
