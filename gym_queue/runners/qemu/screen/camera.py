"""A camera on a machine's screen: a monitor of its own, so that a recording never waits for a step nor it for one."""

from __future__ import annotations

from gym_queue.runners.base import Audio, Pixels
from gym_queue.runners.qemu.qmp import Qmp
from gym_queue.runners.qemu.screen.capture import Capture


class VmCamera:
    """Pictures of one machine's screen.

    Args:
        qmp: A monitor of the machine that nobody else uses; owned by the camera from here on.
        resolution: width, height in pixels of the pictures.

    Raises:
        RunnerFailed: The machine is gone, or has no screen.
    """

    def __init__(self, qmp: Qmp, resolution: tuple[int, int]) -> None:
        self._qmp = qmp
        self._is_first = True
        try:
            self._capture = Capture(qmp, resolution)
        except BaseException:
            qmp.close()
            raise

    def grab(self) -> Pixels | None:
        """Return the screen as it is now, the pointer in it; None while nothing changed since the last."""
        is_first, self._is_first = self._is_first, False
        return self._capture.pixels if self._capture.refresh() or is_first else None

    def listen(self) -> Audio | None:
        """Return None: machines have no sound device."""
        return None

    def close(self) -> None:
        """Hang up. Safe to call twice, and while another thread is inside a call, which then fails."""
        self._capture.forget()
        self._capture.close()
        self._qmp.close()
