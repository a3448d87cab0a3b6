"""An episode's video, written so that it plays however its writer ends.

An MP4 in fragments of a second, which its end turns into a plain one in place (ffmpeg's ``hybrid_fragmented``):
a killed process costs the last second, and nothing is copied when a recording ends.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gym_queue.errors import NotSupported
from gym_queue.runners.base import Audio, Pixels
from gym_queue.specs.env import Recording

if TYPE_CHECKING:
    from av import AudioStream, VideoFrame, VideoStream

FRAGMENT_US = 1_000_000
KEY_FRAME_S = 10.0
GAP_S = 0.5
"""Sound that lags behind the picture by more was not heard: silence stands for it."""
FAST = {"preset": "ultrafast", "tune": "zerolatency"}
"""Of x264 and x265: the processor belongs to the environments, and a screen that mostly stands still is small anyway."""


def has_encoder() -> bool:
    """Return whether videos can be made here; loads what makes them."""
    try:
        import av  # noqa: F401  (optional, and 26 MB of memory)
    except ImportError:
        return False
    return True


class VideoFile:
    """A video that grows frame by frame; used by one thread.

    Args:
        path: The file; replaced when there is one.
        recording: Rate, size and codecs.
        resolution: width, height in pixels of the screen.
        sound: What its sound is like, of no samples yet; None for a silent video.

    Raises:
        NotSupported: The codec is unknown, or refuses the rate or the size.
    """

    def __init__(
        self, path: Path, recording: Recording, resolution: tuple[int, int], sound: Audio | None
    ) -> None:
        import av  # optional

        options = {"movflags": "hybrid_fragmented", "frag_duration": str(FRAGMENT_US), "flush_packets": "1"}
        self._container = av.open(str(path), "w", format="mp4", options=options)
        self._last: VideoFrame | None = None
        self._sound: AudioStream | None = None
        self._samples = 0
        try:
            self._video = self._add_video(recording, resolution)
            if sound is not None:
                self._sound = self._add_sound(recording)
        except (av.FFmpegError, ValueError, TypeError) as error:  # of a codec unknown, or of another kind
            self._container.close()
            path.unlink(missing_ok=True)
            raise NotSupported(
                f"the spec's recording cannot be encoded: {error}; see its video_ and audio_ fields"
            ) from error

    def add(self, pixels: Pixels | None, tick: int) -> None:
        """Show a screen from a moment on.

        Args:
            pixels: Read before this returns; None shows the last one again.
            tick: The moment, in frames of the video's rate; more than the last one's.
        """
        from av import VideoFrame  # optional

        if pixels is not None:
            video = self._video
            self._last = VideoFrame.from_numpy_buffer(pixels, format="bgra").reformat(
                video.width, video.height, "yuv420p", interpolation="FAST_BILINEAR"
            )
        if self._last is not None:
            self._last.pts, self._last.time_base = tick, self._video.codec_context.time_base
            self._container.mux(self._video.encode(self._last))

    def add_sound(self, sound: Audio, until_s: float) -> None:
        """Let what was heard follow what was heard before.

        Args:
            sound: Like the one of the constructor.
            until_s: The video's time at its end, in seconds.
        """
        stream = self._sound
        if stream is None:
            return
        missing = int((until_s - GAP_S) * sound.rate) - self._samples - _length(sound)
        if missing > 0:
            self._add_samples(stream, Audio(bytes(missing * 2 * sound.channels), sound.rate, sound.channels))
        if sound.pcm:
            self._add_samples(stream, sound)

    def close(self) -> None:
        """Finish the file."""
        if self._last is not None:
            self._container.mux(self._video.encode(None))
        if self._sound is not None and self._samples:
            self._container.mux(self._sound.encode(None))
        self._container.close()

    def _add_video(self, recording: Recording, resolution: tuple[int, int]) -> VideoStream:
        from av import VideoStream  # optional

        rate = Fraction(recording.video_fps).limit_denominator(1000)
        options = {"crf": str(recording.video_crf)}
        if recording.video_codec in ("libx264", "libx265"):
            options |= FAST
        stream = self._container.add_stream(recording.video_codec, rate=rate, options=options)
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{recording.video_codec} is no video codec")
        width, height = recording.video_resolution or resolution
        stream.width, stream.height = width & ~1, height & ~1  # colours are kept for two by two pixels
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base, context.gop_size = 1 / rate, max(1, round(KEY_FRAME_S * recording.video_fps))
        context.thread_count = 1
        context.open()
        return stream

    def _add_sound(self, recording: Recording) -> AudioStream:
        from av import AudioStream  # optional

        stream = self._container.add_stream(recording.audio_codec, rate=recording.audio_rate)
        if not isinstance(stream, AudioStream):
            raise TypeError(f"{recording.audio_codec} is no audio codec")
        stream.codec_context.layout = "mono" if recording.audio_channels == 1 else "stereo"
        stream.codec_context.open()
        return stream

    def _add_samples(self, stream: AudioStream, sound: Audio) -> None:
        from av import AudioFrame  # optional

        samples = np.frombuffer(sound.pcm, np.int16).reshape(1, -1)
        frame = AudioFrame.from_ndarray(
            samples, format="s16", layout="mono" if sound.channels == 1 else "stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, self._samples, Fraction(1, sound.rate)
        self._samples += _length(sound)
        self._container.mux(stream.encode(frame))


def _length(sound: Audio) -> int:
    return len(sound.pcm) // (2 * sound.channels)
