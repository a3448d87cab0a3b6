"""Hearing and reading: what a container's desktop offers besides its pixels, where the spec asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from gym_queue.runners.base import Audio
from gym_queue.runners.docker.exec import Shells
from gym_queue.runners.docker.shell import Background
from gym_queue.runners.docker.sound import NO_PROGRAM, SOCKET, SoundTap, sound_form, sound_script
from gym_queue.runners.docker.uitree import SOCKET as TREE_SOCKET
from gym_queue.runners.docker.uitree import UiTree, tree_script
from gym_queue.specs.env import EnvSpec

END_S = 1.0


class Senses:
    """The sound and the elements of one container's desktop. ``close`` may come from another thread.

    Args:
        spec: Says which are wanted; the others cost nothing.
        x11_dir: The folder of this host that the container's sockets lie in.
        shells: Of the container.
    """

    def __init__(self, spec: EnvSpec, x11_dir: Path, shells: Shells) -> None:
        self._spec, self._folder, self._shells = spec, x11_dir, shells
        self._lock = threading.Lock()
        self._is_closed = False
        self._sound: Background | None = None
        self._tap: SoundTap | None = None
        self._tree: UiTree | None = None

    def begin(self) -> None:
        """Start the sound, without waiting for it."""
        if "audio_waveform" not in self._spec.observation_types or self._spec.skip_display_audio_bootstrap:
            return
        self._sound = sound = self._shells.start(sound_script(self._spec), "sound")
        asked = next(each for each in self._spec.observation if each.type == "audio_waveform")
        tap = SoundTap(
            self._folder / SOCKET,
            sound_form(self._spec),
            asked.chunk_duration_ms,
            lambda: sound.status is not None,
        )
        with self._lock:
            self._tap = tap
            is_late = self._is_closed
        if is_late:
            tap.close()

    def audio(self) -> Audio | None:
        """Return the last that was heard; None where there is no sound."""
        return self._tap.last() if self._tap is not None else None

    def listener(self) -> Callable[[], Audio | None] | None:
        """Return what tells, again and again, what was heard since; None where there is no sound."""
        if self._tap is None or self._tap.last() is None:
            return None
        return self._tap.listener()

    def elements(self) -> str | None:
        """Return what AT-SPI says of the windows; None where the image or the programs do without."""
        if self._tree is None:
            script = self._shells.start(tree_script(), "ui tree")
            self._tree = UiTree(self._folder / TREE_SOCKET, lambda: script.status is not None)
        return self._tree.read()

    def notes(self) -> tuple[str, ...]:
        """Return what was asked for and is not there."""
        if "audio_waveform" not in self._spec.observation_types or self.audio() is not None:
            return ()
        if self._sound is None:
            return ("no audio: the spec's skip_display_audio_bootstrap leaves it to the image",)
        self._sound.wait(END_S)
        if self._sound.status == NO_PROGRAM:
            return ("no audio: the image has no pulseaudio",)
        return (f"no audio: pulseaudio does not start in the container: {self._sound.output.strip()[-300:]}",)

    def close(self) -> None:
        """Hang up; safe to call twice."""
        with self._lock:
            self._is_closed, tap = True, self._tap
        if tap is not None:
            tap.close()
