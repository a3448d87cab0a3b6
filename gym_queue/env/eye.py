"""An eye on a live environment: pictures of its screen beside the steps, which never notice it."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from gym_queue.env.setup import EpisodeState
from gym_queue.env.sight import Seen, Sight
from gym_queue.env.thumbs import PictureFormat, encode_pixels, encode_png
from gym_queue.errors import EnvState, NotSupported, RunnerFailed
from gym_queue.runners.base import Camera, Pixels, Records, Runner

logger = logging.getLogger(__name__)

IDLE_S = 10.0
"""A camera that nobody has looked through for so long is let go."""
REST = 4.0
"""After each new picture a rest of so many times what it took: a fifth of a core at most, less on a busy machine."""
LONGEST_REST_S = 0.5
RETRY_S = 2.0
"""How long a sandbox that shows nothing is not asked again."""
KEPT_FILES = 8
"""Of the latest picture: one for every width and format that was asked for."""
TEXT = "text"
ANY_TAG = "*"


@dataclass(frozen=True, slots=True)
class Look:
    """What somebody sees who looks."""

    tag: str
    """An ETag: names the very bytes."""
    at: float
    """The moment it shows, in unix seconds."""
    size: tuple[int, int]
    """width, height in pixels of the whole screen; (0, 0) of a terminal's text."""
    kind: str
    """jpeg, png or text."""
    body: bytes | None
    """None when the caller has it already."""


@dataclass(slots=True)
class _Picture:
    serial: int
    at: float
    size: tuple[int, int]
    source: Pixels | Seen


class Eye:
    """Looks at an environment through a camera of its own where the runner has one, else at what was seen last.

    Args:
        sight: Returns what there is to see now.
        clock: Seconds.
    """

    def __init__(self, sight: Callable[[], Sight], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sight, self._clock = sight, clock
        self._name = secrets.token_hex(4)
        self._serial = 0
        self._runner: Runner | None = None
        self._camera: Camera | None = None
        self._picture: _Picture | None = None
        self._files: dict[tuple[int, str], bytes] = {}
        self._rests_until = self._looked_at = self._retry_at = 0.0
        self._dead: Runner | None = None
        self._why = ""

    @property
    def idle_in_s(self) -> float | None:
        """In how many seconds ``close`` is due; None when there is nothing to let go."""
        if self._picture is None:
            return None
        return max(0.0, self._looked_at + IDLE_S - self._clock())

    def look(self, width_px: int, kind: PictureFormat, *, known: Collection[str] = ()) -> Look:
        """Return the screen as it is now; at most ``LONGEST_REST_S`` older when many look at once.

        Args:
            width_px: Of the picture; it is never wider than the screen.
            kind: Of the file; a terminal without a picture is text.
            known: The tags of what the caller has.

        Raises:
            EnvState: There is nothing to see before the first reset.
            RunnerFailed: The sandbox is gone.
            NotSupported: It shows neither a screen nor text.
        """
        began = self._looked_at = self._clock()
        picture, is_new = self._see(began)
        width_px = min(width_px, picture.size[0]) if picture.size[0] else width_px
        shown = TEXT if _text(picture) is not None else kind
        tag = f'"{self._name}-{picture.serial}-{width_px}-{shown}"'
        has_it = tag in known or ANY_TAG in known
        body = None if has_it else self._file(picture, width_px, shown)
        if is_new:
            now = self._clock()
            self._rests_until = now + min((now - began) * REST, LONGEST_REST_S)
        return Look(tag, picture.at, picture.size, shown, body)

    def close(self) -> None:
        """Let the camera and its pictures go; the next look opens another. Safe to call twice."""
        camera, self._camera, self._runner = self._camera, None, None
        self._picture, self._rests_until = None, 0.0
        self._files.clear()
        if camera is not None:
            camera.close()

    def _see(self, now: float) -> tuple[_Picture, bool]:
        sight = self._sight()
        try:
            return self._film(sight, now)
        except NotSupported:
            return self._recall(sight)
        except RunnerFailed:
            self._hang_up()
            latest = self._sight()
            if latest.runner is sight.runner and latest.state is not EpisodeState.NEW:
                raise
            return self._recall(latest)  # the sandbox was ended or exchanged meanwhile, or does not show yet

    def _film(self, sight: Sight, now: float) -> tuple[_Picture, bool]:
        """Return what the camera sees, and whether it had to be asked.

        Raises:
            NotSupported: There is none to be had.
            RunnerFailed: The sandbox is gone, or has not come up yet.
        """
        if self._camera is None or sight.runner is not self._runner:
            self._open(sight)
        assert self._camera is not None  # noqa: S101  _open raises
        picture = self._picture
        if picture is not None and now < self._rests_until:
            return picture, False
        pixels = self._camera.grab()
        if pixels is not None:
            height, width, _ = pixels.shape
            return self._take((width, height), pixels, time.time()), True
        if picture is None:
            raise RunnerFailed("the screen gave no first picture: look again")
        picture.at = time.time()
        return picture, False

    def _open(self, sight: Sight) -> None:
        runner = sight.runner
        self._hang_up()
        if not isinstance(runner, Records):
            raise NotSupported("there is no camera on this sandbox")
        if runner is self._dead and self._clock() < self._retry_at:
            raise RunnerFailed(self._why)
        self._dead = None
        try:
            self._camera = runner.open_camera()
        except RunnerFailed as error:  # it may have taken seconds to say so
            if sight.state is not EpisodeState.NEW:
                self._dead, self._why, self._retry_at = runner, error.message, self._clock() + RETRY_S
            raise
        self._runner = runner
        logger.debug("somebody looks")

    def _hang_up(self) -> None:
        if self._camera is not None:
            self.close()

    def _recall(self, sight: Sight) -> tuple[_Picture, bool]:
        """Return what an agent was shown last."""
        seen, picture = sight.seen, self._picture
        if seen is None:
            raise EnvState("there is nothing to see yet: call reset first, or wait until it is done")
        if picture is not None and picture.source is seen:
            return picture, False
        if _shown_text(seen) is None and seen.observation.png is None:
            raise NotSupported("this environment shows neither a screen nor text")
        size = seen.observation.resolution if seen.observation.png is not None else (0, 0)
        return self._take(size, seen, seen.at), False

    def _take(self, size: tuple[int, int], source: Pixels | Seen, at: float) -> _Picture:
        self._serial += 1
        self._files.clear()
        self._picture = _Picture(self._serial, at, size, source)
        return self._picture

    def _file(self, picture: _Picture, width_px: int, kind: str) -> bytes:
        key = width_px, kind
        found = self._files.get(key)
        if found is None:
            if len(self._files) >= KEPT_FILES:
                del self._files[next(iter(self._files))]
            found = self._files[key] = _encode(picture, width_px, kind)
        return found


def _encode(picture: _Picture, width_px: int, kind: str) -> bytes:
    text, source = _text(picture), picture.source
    if text is not None:
        return text.encode("utf-8", "replace")
    asked: PictureFormat = "png" if kind == "png" else "jpeg"
    if not isinstance(source, Seen):
        return encode_pixels(source, width_px, asked)
    assert source.observation.png is not None  # noqa: S101  else it has text
    return encode_png(source.observation.png, width_px, asked)


def _text(picture: _Picture) -> str | None:
    return _shown_text(picture.source) if isinstance(picture.source, Seen) else None


def _shown_text(seen: Seen) -> str | None:
    """Return what a terminal without a picture shows."""
    observation = seen.observation
    if observation.png is not None:
        return None
    return observation.cli_stdout if observation.cli_stdout is not None else observation.ui_tree
