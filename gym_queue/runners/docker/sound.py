"""Sound of a container: a PulseAudio of ours inside, whose sink is heard through a socket in the X server's folder.

PulseAudio's module-simple-protocol-unix sends plain samples to whoever connects: nothing runs on this side but a
thread that keeps the last of them. Source: https://www.freedesktop.org/wiki/Software/PulseAudio/Documentation/User/Modules/
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gym_queue.runners.base import Audio
from gym_queue.runners.display.connection import connect_to
from gym_queue.runners.docker.create import PULSE_SOCKET, X11_FOLDER
from gym_queue.specs.env import EnvSpec

logger = logging.getLogger(__name__)

SOCKET = "sound"
NO_PROGRAM = 3
"""Exit status of the script where the image has no PulseAudio."""
SAMPLE_BYTES = 2
DEFAULT_RATE, DEFAULT_CHANNELS, DEFAULT_CHUNK_MS = 16000, 1, 200.0
KEPT_S = 2.0
"""Sound that is kept for somebody to ask for."""
READ_S = 0.05
"""How much sound is read at a time: how old the newest that is known may be."""
START_S = 10.0
RETRY_S = 0.05
FIRST_S = 2.0
"""How long the first observation waits for the sound to begin."""


def sound_script(spec: EnvSpec) -> str:
    """Return what brings the sink up inside and runs as long as it does."""
    form = sound_form(spec)
    shape = f"rate={form.rate} channels={form.channels}"
    return f"""\
command -v pulseaudio >/dev/null || exit {NO_PROGRAM}
exec pulseaudio -n --daemonize=no --exit-idle-time=-1 --use-pid-file=no --log-level=error \\
  -L 'module-native-protocol-unix socket={PULSE_SOCKET} auth-anonymous=1' \\
  -L 'module-null-sink sink_name=gym {shape}' \\
  -L 'module-simple-protocol-unix socket={X11_FOLDER}/{SOCKET} record=true playback=false source=gym.monitor format=s16le {shape}'
"""


def sound_form(spec: EnvSpec) -> Audio:
    """Return what the spec's audio_waveform is like, of no samples."""
    asked = next(each for each in spec.observation if each.type == "audio_waveform")
    return Audio(b"", asked.sample_rate or DEFAULT_RATE, asked.channels or DEFAULT_CHANNELS)


class SoundTap:
    """Keeps the last that a container's sink played. Calls may come from several threads.

    Args:
        path: The socket, which need not exist yet.
        form: Rate and channels.
        chunk_ms: How much an observation holds, in milliseconds.
        has_ended: Returns whether the sink will never come up.
    """

    def __init__(
        self, path: Path, form: Audio, chunk_ms: float | None, has_ended: Callable[[], bool]
    ) -> None:
        self._path, self._form, self._has_ended = path, form, has_ended
        self._frame_bytes = SAMPLE_BYTES * form.channels
        self._chunk_bytes = self._bytes((chunk_ms or DEFAULT_CHUNK_MS) / 1000)
        self._kept_bytes = max(self._chunk_bytes, self._bytes(KEPT_S))
        self._news = threading.Condition()
        self._kept, self._total = bytearray(), 0
        self._is_over = False
        self._sock = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._read, name="sound", daemon=True)
        self._thread.start()

    def last(self) -> Audio | None:
        """Return the newest chunk; None when there is no sound, or none yet after FIRST_S seconds."""
        with self._news:
            self._news.wait_for(lambda: self._total >= self._chunk_bytes or self._is_over, FIRST_S)
            if self._total < self._chunk_bytes or self._is_over:
                return None
            return Audio(bytes(self._kept[-self._chunk_bytes :]), self._form.rate, self._form.channels)

    def listener(self) -> Callable[[], Audio | None]:
        """Return what returns, at each call, what was heard since the one before, KEPT_S seconds at most."""
        heard = self._total

        def listen() -> Audio | None:
            nonlocal heard
            with self._news:
                fresh = min(self._total - heard, len(self._kept))
                heard = self._total
                if self._is_over and not fresh:
                    return None
                pcm = bytes(self._kept[len(self._kept) - fresh :])
            return Audio(pcm, self._form.rate, self._form.channels)

        return listen

    def close(self) -> None:
        """Hang up. Safe to call twice."""
        self._end()
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # it was never there
            return
        finally:
            self._sock.close()

    def _bytes(self, duration_s: float) -> int:
        return max(1, round(duration_s * self._form.rate)) * self._frame_bytes

    def _read(self) -> None:
        try:
            if not self._connect():
                return
            while piece := self._sock.recv(self._bytes(READ_S), socket.MSG_WAITALL):
                with self._news:
                    self._kept += piece
                    del self._kept[: -self._kept_bytes]
                    self._total += len(piece)
                    self._news.notify_all()
        except OSError as error:
            logger.debug("the sound ended: %s", error)
        finally:
            self._end()

    def _connect(self) -> bool:
        deadline = time.monotonic() + START_S
        while not self._is_over and not self._has_ended() and time.monotonic() < deadline:
            try:
                connect_to(self._sock, self._path)
            except OSError:
                time.sleep(RETRY_S)
            else:
                return True
        return False

    def _end(self) -> None:
        with self._news:
            self._is_over = True
            self._news.notify_all()
