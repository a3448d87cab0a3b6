from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gym_queue.errors import BadReply
from gym_queue.protocol.observations import Screen, to_json, with_screen


def make_png() -> bytes:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


PNG = make_png()
B64 = base64.b64encode(PNG).decode()


def test_json_carries_a_path_and_no_bytes() -> None:
    seen: dict[str, Any] = {
        "screen": {"path": "p", "resolution": [6, 4], "png": PNG},
        "cli_stdout": {"text": "x"},
    }
    assert to_json(seen, inline=False) == {
        "screen": {"path": "p", "resolution": [6, 4], "remote": True},
        "cli_stdout": {"text": "x"},
    }
    assert seen["screen"]["png"] == PNG


def test_inline_json_carries_the_image_too() -> None:
    assert to_json({"screen": {"path": "p", "png": PNG}}, inline=True)["screen"]["png_b64"] == B64


def test_an_observation_without_a_screen_stays_as_it_is() -> None:
    assert to_json({"cli_stdout": {"text": "x"}}, inline=True) == {"cli_stdout": {"text": "x"}}
    assert with_screen({}) == {}
    assert with_screen({"screen": None}) == {"screen": None}


@pytest.mark.parametrize("fields", [{"png": PNG}, {"png_b64": B64}])
def test_a_screen_that_was_sent_is_read_without_a_fetch(fields: dict, tmp_path: Path) -> None:
    screen = with_screen({"screen": {"path": "p", **fields}})["screen"]
    assert screen.png() == PNG
    assert (screen.image().shape, screen.image().dtype) == ((4, 6, 3), np.uint8)
    assert screen.image()[0, 1].tolist() == [3, 4, 5]
    assert screen.save(tmp_path / "s.png").read_bytes() == PNG


def test_a_path_is_fetched_once_and_only_when_asked_for() -> None:
    fetched: list[str] = []

    def fetch(path: str) -> bytes:
        fetched.append(path)
        return PNG

    screen = Screen({"path": "p"}, fetch)
    assert fetched == []
    assert screen.png() == screen.png() == PNG
    assert fetched == ["p"]


def test_the_bytes_are_no_key_of_the_screen() -> None:
    assert dict(Screen({"path": "p", "png": PNG})) == {"path": "p"}


@pytest.mark.parametrize("fields", [{}, {"path": None}, {"path": ""}, {"path": "p"}])
def test_neither_image_nor_path_is_a_bad_reply(fields: dict) -> None:
    with pytest.raises(BadReply, match="without an image"):
        Screen(fields).png()


@pytest.mark.parametrize("value", ["A", "é", None, 5, {}])
def test_what_is_no_base64_is_a_bad_reply(value: Any) -> None:
    with pytest.raises(BadReply, match="not base64"):
        Screen({"png_b64": value}).png()


@pytest.mark.parametrize("junk", [b"", b"junk", PNG[:40], PNG[:8]])
def test_what_is_no_image_is_a_bad_reply(junk: bytes) -> None:
    with pytest.raises(BadReply, match="not an image"):
        Screen({"png": junk}).image()


@given(st.integers(8, len(PNG) - 1), st.integers(0, 255))
def test_a_damaged_image_is_an_image_or_a_bad_reply(place: int, value: int) -> None:
    damaged = PNG[:place] + bytes([value]) + PNG[place + 1 :]
    try:
        pixels = Screen({"png": damaged}).image()
    except BadReply:
        return
    assert pixels.ndim == 3
