"""Brings up the X server inside: that of the image's entrypoint, else one of our own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import Enum

from gym_queue.errors import RunnerFailed
from gym_queue.runners.docker.create import display_of
from gym_queue.runners.docker.exec import Shells
from gym_queue.runners.docker.shell import Background
from gym_queue.specs.env import EnvSpec

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0
SYSTEMD_START_TIMEOUT_S = 180.0
ENTRYPOINT_GRACE_S = 3.0
"""How long an entrypoint that still runs gets to bring up an X server before ours is started."""
ENDED_GRACE_S = 1.0
"""How long an X server gets that an entrypoint left in the background."""
ENTRYPOINT_WAIT_S = 8.0
"""How long to wait for its end, or a first window, once an X server answers."""
WINDOW_WAIT_S = 3.0
"""How long to wait for its end once a window shows; one that runs its application itself never ends."""
SYSTEMD_GRACE_S = 90.0
LOOK_EVERY_S = 0.25
NOT_FOUND = 127  # what a shell says of a command that it cannot find
OUTPUT_TAIL_CHARS = 2000


class XState(Enum):
    """Who is to bring the X server up."""

    THEIRS = "theirs"  # the image, by systemd or the entrypoint
    OURS = "ours"  # Xvfb was started by us
    NOBODY = "nobody"  # the image has no Xvfb, or the spec forbids it


class XServer:
    """The entrypoint and the X server of one container.

    Args:
        spec: The environment.
        shells: Of its container.
        check_alive: Raises RunnerFailed when the container is gone.
        clock: Seconds.
    """

    def __init__(
        self,
        spec: EnvSpec,
        shells: Shells,
        check_alive: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec, self._shells, self._check_alive, self._clock = spec, shells, check_alive, clock
        self._state = XState.THEIRS
        self._began = self._looked = clock()
        self._ended: float | None = None
        self._entrypoint: Background | None = None
        self._xvfb: Background | None = None

    @property
    def timeout_s(self) -> float:
        """How long an X server may take to answer."""
        return SYSTEMD_START_TIMEOUT_S if self._spec.security.use_systemd else START_TIMEOUT_S

    def begin(self) -> None:
        """Start the entrypoint, if there is one, else an X server at once."""
        self._began = self._clock()
        if self._spec.entrypoint:
            self._entrypoint = self._shells.start(self._spec.entrypoint, "entrypoint")
        elif not self._spec.security.use_systemd and self._spec.screen is not None:
            self._start_ours()

    def tend(self) -> None:
        """Called again and again while no X server answers: start ours when theirs does not come.

        Raises:
            RunnerFailed: Nothing will ever answer; it says why.
        """
        now = self._clock()
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        self._check_alive()
        if self._entrypoint is not None and self._entrypoint.status is not None and self._ended is None:
            self._ended = now
        if self._state is XState.THEIRS:
            if self._has_had_its_time(now):
                self._start_ours()
        elif self._state is XState.OURS:
            self._check_ours()
        elif self._is_hopeless(now):
            raise RunnerFailed(self._why())

    def finish(self, shows_window: Callable[[], bool]) -> None:
        """Once an X server answers: give the entrypoint the time to bring up the rest.

        One that ended before our X server was there runs again, now that it is.

        Args:
            shows_window: Whether there is a window on the screen.

        Raises:
            RunnerFailed: The X server or the container is gone.
        """
        if self._entrypoint is None:
            return
        if self._state is XState.OURS and self._ended is not None:
            self._entrypoint = self._shells.start(str(self._spec.entrypoint), "entrypoint")
        deadline, is_seen = self._clock() + ENTRYPOINT_WAIT_S, False
        while self._entrypoint.status is None and (now := self._clock()) < deadline:
            self._entrypoint.wait(min(LOOK_EVERY_S, deadline - now))
            if not is_seen and shows_window():
                deadline, is_seen = self._clock() + WINDOW_WAIT_S, True

    def explain(self, error: RunnerFailed) -> RunnerFailed:
        """Return the error of a wait that ended, with what the entrypoint or Xvfb said."""
        command = self._xvfb or self._entrypoint
        if command is None or not command.output.strip():
            return error
        return RunnerFailed(f"{error}; {'Xvfb' if self._xvfb else 'the entrypoint'} said: {_tail(command)}")

    def _why(self) -> str:
        said = f"no X server answers on {display_of(self._spec)} in the container: "
        if self._entrypoint is None:
            return said + "its image has no Xvfb; install xvfb in it, or name an entrypoint that starts one"
        status = self._entrypoint.status
        how = "still runs" if status is None else f"ended with status {status}"
        return said + f"the image has no Xvfb, and the entrypoint {how}; it said: {_tail(self._entrypoint)}"

    def _has_had_its_time(self, now: float) -> bool:
        if self._ended is not None:
            return now - self._ended > ENDED_GRACE_S
        grace_s = SYSTEMD_GRACE_S if self._spec.security.use_systemd else ENTRYPOINT_GRACE_S
        return now - self._began > grace_s

    def _is_hopeless(self, now: float) -> bool:
        """Whether nothing is left that might bring one up; systemd's services, or an entrypoint, take their time."""
        if self._entrypoint is None:
            return not self._spec.security.use_systemd
        return self._ended is not None and now - self._ended > ENTRYPOINT_GRACE_S

    def _start_ours(self) -> None:
        width, height = self._spec.resolution
        display = display_of(self._spec)
        if self._spec.skip_display_audio_bootstrap:
            self._state = XState.NOBODY
            return
        if self._entrypoint is not None:
            logger.info("the entrypoint brought up no X server: starting Xvfb on %s", display)
        self._state = XState.OURS
        self._xvfb = self._shells.start(
            f"command -v Xvfb || exit {NOT_FOUND}\n"
            f"exec Xvfb {display} -screen 0 {width}x{height}x24 -ac -nolisten tcp",
            "xvfb",
        )

    def _check_ours(self) -> None:
        if self._xvfb is None or self._xvfb.status is None:
            return
        if self._xvfb.status == NOT_FOUND or "already active" in self._xvfb.output:
            self._state, self._xvfb = XState.NOBODY, None  # there is none, or theirs came after all
            return
        raise RunnerFailed(
            f"Xvfb ended with status {self._xvfb.status} in the container: {_tail(self._xvfb)}"
        )


def _tail(command: Background) -> str:
    return command.output[-OUTPUT_TAIL_CHARS:].strip() or "(nothing)"
