"""Runs in a container, on its Python: answers each connection with what AT-SPI tells of the windows there.

uitree_inside.py SOCKET. A line an element: role, name, place and size, what it is, its text.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

MAX_DEPTH = 40
MAX_LINES = 2000
MAX_TEXT = 200
MAX_S = 1.5
LONGEST_S = 2
ONE_CALL_MS, NEW_PROGRAM_MS = 300, 800
STATES = ("ACTIVE", "FOCUSED", "SELECTED", "CHECKED", "PRESSED", "EXPANDED", "EDITABLE")


def describe(atspi: Any, element: Any, states: Any) -> str:
    place = element.get_extents(atspi.CoordType.SCREEN)
    words = [element.get_role_name() or "unknown"]
    if element.get_name():
        words.append(f'"{element.get_name()[:MAX_TEXT]}"')
    words.append(f"at {place.x},{place.y} size {place.width}x{place.height}")
    words += [name.lower() for name in STATES if states.contains(getattr(atspi.StateType, name))]
    if not states.contains(atspi.StateType.SENSITIVE):
        words.append("disabled")
    words_inside = element.get_text_iface()
    if words_inside is not None:
        text = atspi.Text.get_text(words_inside, 0, MAX_TEXT)
        if text:
            words.append(f"text {text!r}")
    return " ".join(words)


def walk(atspi: Any, element: Any, depth: int, lines: list[str], deadline: float) -> None:
    if depth > MAX_DEPTH or len(lines) >= MAX_LINES or time.monotonic() > deadline:
        return
    states = element.get_state_set()
    if not states.contains(atspi.StateType.SHOWING):
        return
    try:
        lines.append("  " * depth + describe(atspi, element, states))
    except Exception as error:  # noqa: BLE001  (one that goes meanwhile, or is no component: GLib's own errors)
        lines.append("  " * depth + f"({error})")
    for index in range(min(element.get_child_count(), MAX_LINES)):
        child = element.get_child_at_index(index)
        if child is not None:
            walk(atspi, child, depth + 1, lines, deadline)


def dump(atspi: Any) -> str:
    lines: list[str] = []
    deadline = time.monotonic() + MAX_S
    desktop = atspi.get_desktop(0)
    for index in range(desktop.get_child_count()):
        program = desktop.get_child_at_index(index)
        if program is None or not program.get_child_count():
            continue
        before = len(lines)
        lines.append(f'application "{program.get_name()}"')
        try:
            for number in range(program.get_child_count()):
                window = program.get_child_at_index(number)
                if window is not None:
                    walk(atspi, window, 1, lines, deadline)
        except Exception as error:  # noqa: BLE001  (of a program that hangs, or ends)
            lines.append(f"  ({error})")
        if len(lines) == before + 1:
            lines.pop()
    if len(lines) >= MAX_LINES or time.monotonic() > deadline:
        lines.append("(cut off)")
    return "\n".join(lines)


def answer(connection: socket.socket, atspi: Any) -> None:
    """Write the elements; in a process of its own, for the library keeps what it read, and aborts without a bus."""
    signal.alarm(LONGEST_S)  # ends the process wherever the library waits
    atspi.set_timeout(ONE_CALL_MS, NEW_PROGRAM_MS)
    connection.sendall(dump(atspi).encode("utf-8", "replace"))


def main(path: str) -> None:
    import gi  # of the container, not of this host

    gi.require_version("Atspi", "2.0")
    from gi.repository import Atspi

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX)
    Path(path).unlink(missing_ok=True)
    server.bind(path)
    Path(path).chmod(0o777)  # the folder is private to the container and its worker
    server.listen(8)
    while True:
        connection = server.accept()[0]
        if os.fork() == 0:
            answer(connection, Atspi)
            os._exit(0)
        connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
