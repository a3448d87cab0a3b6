"""A desktop that is filmed, heard and read, in a real container."""

from __future__ import annotations

import array
import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

av = pytest.importorskip("av")

from gym_queue.env.local import LocalGymEnv, make  # noqa: E402  (the encoder is optional)

SCREEN = {"type": "rgb_screen", "resolution": [1280, 720]}
SOUND = {"type": "audio_waveform", "sample_rate": 16000, "channels": 1, "chunk_duration_ms": 200}
MakeEnv = Callable[..., LocalGymEnv]


@pytest.fixture
def open_desktop(x11_image: str) -> Iterator[MakeEnv]:
    opened: list[LocalGymEnv] = []

    def open_env(*observation: dict[str, Any], **fields: Any) -> LocalGymEnv:
        spec = {
            "id": "filmed",
            "image": x11_image,
            "entrypoint": "/workspace/start_app.sh",
            "observation": [SCREEN, *observation],
            "action": [{"type": "mouse"}, {"type": "keyboard"}],
            "security": {"user": "ga"},
            **fields,
        }
        opened.append(make(spec, runner="docker"))
        return opened[-1]

    yield open_env
    for env in opened:
        env.close()


def frames(path: Path) -> list[Any]:
    with av.open(str(path)) as video:
        return list(video.decode(video=0))


def video_of(env: LocalGymEnv) -> Path:
    assert env.episode_dir is not None
    return env.episode_dir / "recording.mp4"


def test_an_episode_is_filmed_until_it_is_done(open_desktop: MakeEnv) -> None:
    env = open_desktop()
    env.reset()
    for each in ("red", "lime", "blue"):
        env.step([{"keyboard": {"text": f"xsetroot -solid {each}\n"}}])
    env.step([], mark_done=True)
    found = frames(video_of(env))
    assert (found[0].width, found[0].height) == (1280, 720)
    assert [each.pts for each in found] == sorted({each.pts for each in found})
    last = found[-1].to_ndarray(format="rgb24")[-8, -8]
    assert last[2] > 200
    assert last[0] < 60
    assert '"recording": "recording.mp4"' in (video_of(env).parent / "summary.json").read_text()


def test_what_happens_in_a_pause_is_not_filmed(open_desktop: MakeEnv) -> None:
    env = open_desktop()
    env.reset()
    env.pause_recording()
    env.pause_recording()
    env.step([{"keyboard": {"text": "xsetroot -solid red\n"}}])
    env.step([{"keyboard": {"text": "xsetroot -solid blue\n"}}])
    env.resume_recording()
    env.resume_recording()
    env.step([], mark_done=True)
    corners = [each.to_ndarray(format="rgb24")[-8, -8] for each in frames(video_of(env))]
    assert corners[-1][2] > 200
    assert not any(corner[0] > 200 and corner[2] < 60 for corner in corners)


def test_the_film_goes_on_in_a_loaded_state(open_desktop: MakeEnv) -> None:
    env = open_desktop()
    env.reset()
    state = env.save_state()
    assert state is not None
    env.load_state(state)
    env.step([{"keyboard": {"text": "xsetroot -solid blue\n"}}])
    env.step([], mark_done=True)
    assert frames(video_of(env))[-1].to_ndarray(format="rgb24")[-8, -8][2] > 200


def test_a_spec_that_records_nothing_has_no_film(open_desktop: MakeEnv) -> None:
    env = open_desktop(recording={"enable": False})
    env.reset()
    assert not video_of(env).exists()


def test_an_unknown_codec_is_a_note_and_not_a_film(open_desktop: MakeEnv) -> None:
    env = open_desktop(recording={"enable": True, "video_codec": "betamax"})
    env.reset()
    session = env.get_session_info()
    assert session is not None
    assert session.recording is None
    assert "betamax" in session.notes[0]
    assert not video_of(env).exists()


@pytest.mark.xfail(
    strict=False, reason="on a loaded machine the sink is at times silent for 15 s: not found yet"
)
def test_what_the_desktop_plays_is_heard_and_in_the_film(open_desktop: MakeEnv) -> None:
    env = open_desktop(SOUND)
    heard = env.reset()["audio"]
    assert (heard["rate"], heard["channels"], heard["num_samples"]) == (16000, 1, 3200)
    play = "timeout 20 pacat --raw --rate=16000 --channels=1 --format=s16le /dev/urandom &"
    env.step([{"keyboard": {"text": f"{play}\n"}}])
    deadline = time.monotonic() + 15
    while loudness(env.capture_observation()["audio"]) < 1000:
        assert time.monotonic() < deadline
    env.step([], mark_done=True)
    with av.open(str(video_of(env))) as film:
        assert film.streams.audio[0].codec_context.sample_rate == 16000
        assert any(abs(frame.to_ndarray()).max() > 0.05 for frame in film.decode(audio=0))


def test_an_image_without_a_sink_is_silent_and_says_so(open_desktop: MakeEnv, tmp_path: Path) -> None:
    nothing = tmp_path / "pulseaudio"
    nothing.touch(mode=0o644)
    env = open_desktop(SOUND, mounts=[{"source": str(nothing), "target": "/usr/bin/pulseaudio"}])
    assert "audio" not in env.reset()
    session = env.get_session_info()
    assert session is not None
    assert session.notes[0].startswith("no audio: pulseaudio does not start")
    assert session.recording == "recording.mp4"


def loudness(audio: dict[str, Any]) -> int:
    return max(map(abs, array.array("h", base64.b64decode(audio["s16le_b64"]))))


def test_the_tree_names_the_windows(open_desktop: MakeEnv) -> None:
    env = open_desktop({"type": "ui_tree"})
    tree = env.reset()["ui_tree"]["text"]
    assert "XTerm at " in tree
    assert " active" in tree
