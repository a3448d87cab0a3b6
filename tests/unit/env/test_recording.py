from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av")

from gym_queue.env.recording import Recorder  # noqa: E402  (the encoder is optional)
from gym_queue.env.video import VideoFile  # noqa: E402
from gym_queue.errors import NotSupported, RunnerFailed  # noqa: E402
from gym_queue.runners.base import Audio, Pixels  # noqa: E402
from gym_queue.specs.env import Recording  # noqa: E402

SIZE = (64, 48)
FAST = Recording(video_fps=100)


def plain(shade: int) -> Pixels:
    return np.full((SIZE[1], SIZE[0], 4), shade, np.uint8)


class Lens:
    """A camera whose screen changes when it is told; tells when it was looked through."""

    def __init__(self, shade: int = 0) -> None:
        self.shades = [shade]
        self.is_gone = False
        self.grabbed = threading.Event()
        self.closed = threading.Event()

    def grab(self) -> Pixels | None:
        self.grabbed.set()
        if self.is_gone:
            raise RunnerFailed("gone")
        return plain(self.shades.pop(0)) if self.shades else None

    def listen(self) -> Audio | None:
        return None

    def close(self) -> None:
        self.closed.set()

    def wait(self) -> None:
        self.grabbed.clear()
        assert self.grabbed.wait(5)


def shades(path: Path) -> list[int]:
    with av.open(str(path)) as video:
        return [int(frame.to_ndarray(format="gray").mean()) for frame in video.decode(video=0)]


def test_a_changed_screen_is_in_the_video_and_a_still_one_is_not_written_each_time(tmp_path: Path) -> None:
    lens = Lens(0)
    recorder = Recorder(lens, tmp_path / "v.mp4", FAST, SIZE)
    for _ in range(5):
        lens.wait()
    lens.shades.append(200)
    lens.wait()
    recorder.close()
    recorder.close()
    found = shades(tmp_path / "v.mp4")
    assert len(found) == 3  # each shade, and the last moment
    assert found[0] < 40
    assert min(found[1:]) > 150
    assert lens.closed.is_set()


def test_a_paused_recorder_does_not_look(tmp_path: Path) -> None:
    lens = Lens()
    recorder = Recorder(lens, tmp_path / "v.mp4", FAST, SIZE)
    lens.wait()
    recorder.pause()
    recorder.pause()
    lens.shades.append(200)
    recorder.close()
    assert max(shades(tmp_path / "v.mp4")) < 40


def test_a_recorder_moves_to_another_sandbox(tmp_path: Path) -> None:
    first, second = Lens(0), Lens(200)
    recorder = Recorder(first, tmp_path / "v.mp4", FAST, SIZE)
    first.wait()
    first.is_gone = True
    first.wait()
    recorder.move(second)
    second.wait()
    recorder.close()
    assert first.closed.is_set()
    assert shades(tmp_path / "v.mp4")[-1] > 150


def test_a_killed_writer_leaves_a_video_that_plays(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        video = VideoFile(tmp_path / "v.mp4", Recording(), SIZE, None)
        for tick in range(40):
            video.add(plain(tick * 6), tick)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(shades(tmp_path / "v.mp4")) >= 25


def test_sound_that_was_not_heard_is_silence_in_the_video(tmp_path: Path) -> None:
    form = Audio(b"", 16000, 1)
    video = VideoFile(tmp_path / "v.mp4", Recording(), SIZE, form)
    for tick in range(30):
        video.add(plain(tick), tick)
        video.add_sound(form, tick / 10)
    loud = np.full(16000, 8000, np.int16)
    video.add_sound(Audio(loud.tobytes(), 16000, 1), 3.0)
    video.close()
    with av.open(str(tmp_path / "v.mp4")) as film:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
    assert abs(heard[:16000]).max() < 0.01
    assert abs(heard[-8000:]).max() > 0.1
    assert 3.0 <= len(heard) / 16000 <= 4.0


@pytest.mark.parametrize("fields", [{"video_codec": "betamax"}, {"video_codec": "aac"}])
def test_what_cannot_be_encoded_is_named(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(NotSupported, match="recording cannot be encoded"):
        VideoFile(tmp_path / "v.mp4", Recording(**fields), SIZE, None)
    assert not list(tmp_path.iterdir())


def test_an_odd_size_is_made_even(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "v.mp4", Recording(video_resolution=(33, 21)), SIZE, None)
    video.add(plain(9), 0)
    video.close()
    with av.open(str(tmp_path / "v.mp4")) as film:
        assert (film.streams.video[0].width, film.streams.video[0].height) == (32, 20)
