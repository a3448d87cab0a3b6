"""A camera on an X server's screen: a connection of its own, so that a recording never waits for a step nor it for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gym_queue.runners.base import Audio
from gym_queue.runners.display.capture import Capture, Pixels
from gym_queue.runners.display.connection import Connection, connect
from gym_queue.runners.display.watch import Damage

CONNECT_S = 5.0


class X11Camera:
    """Pictures of one screen, taken only when something was drawn or the pointer moved.

    Args:
        connection: The server; owned by the camera from here on.
        resolution: width, height in pixels of the part of its screen, at the top left, to take.
        listen: Returns what was heard since the last call; None has no ears.
    """

    def __init__(
        self,
        connection: Connection,
        resolution: tuple[int, int],
        listen: Callable[[], Audio | None] | None = None,
    ) -> None:
        self._connection = connection
        self._capture = Capture(connection, resolution)
        self._damage = Damage(connection)
        self._pointer: bytes | None = None
        self._listen = listen

    @classmethod
    def open(
        cls,
        socket_path: Path,
        resolution: tuple[int, int],
        *,
        cookie: bytes | None = None,
        listen: Callable[[], Audio | None] | None = None,
    ) -> X11Camera:
        """Connect to a server that runs.

        Args:
            socket_path: Its unix socket.
            resolution: As above.
            cookie: Its MIT-MAGIC-COOKIE-1; None needs none.
            listen: As above.

        Raises:
            RunnerFailed: It does not answer.
        """
        connection = connect(socket_path, cookie=cookie, deadline_s=CONNECT_S, process_alive=None)
        try:
            return cls(connection, resolution, listen)
        except BaseException:
            connection.close()
            raise

    def grab(self) -> Pixels | None:
        """Return the screen as it is now, the pointer drawn in; None while nothing changed since the last."""
        for event in self._connection.events():
            self._damage.see(event)
        pointer = self._capture.pointer()
        if pointer == self._pointer and not self._damage.is_damaged:
            return None
        self._pointer = pointer
        self._damage.clear()
        return self._capture.with_cursor()

    def listen(self) -> Audio | None:
        """Return what was heard since the last call; None without ears, or where there is no sound."""
        return self._listen() if self._listen is not None else None

    def close(self) -> None:
        """Hang up. Safe to call twice, and while another thread is inside a call, which then fails."""
        self._connection.close()
