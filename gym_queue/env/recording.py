"""The video of an episode: a thread that looks at the screen by a connection of its own, beside the steps."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gym_queue.env.folder import VIDEO
from gym_queue.env.video import VideoFile, has_encoder
from gym_queue.errors import NotSupported, RunnerFailed
from gym_queue.runners.base import Camera, Records, Runner
from gym_queue.specs.env import EnvSpec, Recording

logger = logging.getLogger(__name__)

REPEAT_S = 1.0
"""A screen that stands still is written again this often, so that a killed recording lacks no more."""
REST = 9.0
"""After each picture a rest of so many times what it took: a tenth of a core at most, less on a busy machine."""
LONGEST_REST_S = 1.0
END_S, HANG_UP_S = 0.5, 0.3
"""How long the end of a file is waited for, before and after its camera is taken away."""


class Recorder:
    """Films one sandbox into one file, from its construction on.

    Args:
        camera: Owned by the recorder from here on.
        path: The file.
        recording: Rate, size and codecs.
        resolution: width, height in pixels of the screen.
        clock: Seconds.

    Raises:
        NotSupported: The codec is unknown, or refuses the rate or the size.
    """

    def __init__(
        self,
        camera: Camera,
        path: Path,
        recording: Recording,
        resolution: tuple[int, int],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._camera, self._fps, self._clock = camera, recording.video_fps, clock
        self._video = VideoFile(path, recording, resolution, camera.listen())
        self._lock = threading.Lock()
        self._began = clock()
        self._paused_at: float | None = None
        self._tick = -1
        self.failure: str | None = None
        """Why the file ends before the episode, when it does."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Film nothing until resumed; the video goes on without a gap. Safe to call twice."""
        with self._lock:
            if self._paused_at is None:
                self._paused_at = self._clock()

    def resume(self) -> None:
        """Film on. Safe to call twice."""
        with self._lock:
            if self._paused_at is not None:
                self._began += self._clock() - self._paused_at
                self._paused_at = None

    def move(self, camera: Camera) -> None:
        """Film another sandbox into the same file; the old camera is closed."""
        with self._lock:
            old, self._camera = self._camera, camera
        old.close()

    def close(self) -> None:
        """Film the last moment and finish the file; takes END_S and HANG_UP_S at most. Safe to call twice."""
        self._stop.set()
        self._thread.join(END_S)
        self._camera.close()
        self._thread.join(HANG_UP_S)
        if self._thread.is_alive():
            logger.warning("the recording did not end in time; its file plays up to a second before")

    def _run(self) -> None:
        rest_s = 0.0
        try:
            while not self._stop.wait(rest_s):
                began = self._clock()
                self._film()
                now = self._clock()
                rest_s = max(1 / self._fps - (now - began), min((now - began) * REST, LONGEST_REST_S))
            self._film(is_last=True)
            self._video.close()
        except Exception as error:
            logger.exception("the recording broke off")
            self.failure = f"the video breaks off: {error}"

    def _film(self, *, is_last: bool = False) -> None:
        with self._lock:
            camera, time_s, is_paused = self._camera, self._clock() - self._began, self._paused_at is not None
        heard = camera.listen()
        tick = max(int(time_s * self._fps), self._tick + is_last)
        if is_paused or tick <= self._tick:
            return
        try:
            pixels = camera.grab()
        except (
            RunnerFailed
        ) as error:  # of a sandbox that ends or is exchanged; the last picture stands for it
            logger.debug("no picture for the recording: %s", error)
            pixels = None
        if pixels is not None or is_last or tick - self._tick >= self._fps * REPEAT_S:
            self._video.add(pixels, tick)
            self._tick = tick
        if heard is not None:
            self._video.add_sound(heard, time_s)


class EpisodeRecording:
    """Whether an environment's episodes are filmed, and the one that runs.

    Args:
        spec: What it asks for.
    """

    def __init__(self, spec: EnvSpec) -> None:
        self._spec = spec
        self._recorder: Recorder | None = None
        self._lock = threading.Lock()
        self.file: str | None = None
        """The running or last episode's video in its folder; None when there is none."""
        self.note: str | None = None
        """Why there is none, or not all of it."""

    def begin(self, runner: Runner, folder: Path) -> None:
        """Film an episode from now on, or note why not."""
        self.end()
        self.file = self.note = None
        try:
            recorder = self._open(runner, folder / VIDEO)
        except (NotSupported, RunnerFailed) as error:
            self.note = f"no video: {error}"
            is_asked = "enable" in self._spec.recording.model_fields_set and self._spec.recording.enable
            logger.log(logging.WARNING if is_asked else logging.DEBUG, "%s", self.note)
        else:
            with self._lock:
                self._recorder, self.file = recorder, VIDEO

    def move(self, runner: Runner) -> None:
        """Go on with a sandbox in place of the one before."""
        if self._recorder is not None and isinstance(runner, Records):
            self._recorder.move(runner.open_camera())

    def pause(self) -> None:
        """Film nothing until resumed. Safe to call twice.

        Raises:
            NotSupported: There is no video of this episode.
        """
        self._running().pause()

    def resume(self) -> None:
        """Film on; raises as ``pause``."""
        self._running().resume()

    def end(self) -> None:
        """Finish the file. Safe to call twice, and from another thread."""
        with self._lock:
            recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
            self.note = recorder.failure

    def _open(self, runner: Runner, path: Path) -> Recorder:
        spec = self._spec
        if not spec.recording.enable:
            raise NotSupported("the spec's recording.enable is false")
        if spec.screen is None or not isinstance(runner, Records):
            raise NotSupported(
                "only the screens of desktops are filmed; the episode folder holds every step's frame"
            )
        if not has_encoder():
            raise NotSupported("the worker has no encoder: pip install 'gym-queue[recording]' there")
        camera = runner.open_camera()
        try:
            return Recorder(camera, path, spec.recording, spec.resolution)
        except BaseException:
            camera.close()
            raise

    def _running(self) -> Recorder:
        if self._recorder is None:
            raise NotSupported(self.note or "the episode's recording has ended: call reset for another")
        return self._recorder
