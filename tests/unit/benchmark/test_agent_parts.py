"""What agents that ask models are made of: scaling, history, the hand, calls carried out in order."""

from __future__ import annotations

import base64
import io
from typing import Any, get_args

import pytest
from anthropic.types.beta import BetaComputerMemberName
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ComputerAction
from PIL import Image

from gym_queue.benchmark.agents.batch import HALTED, Batch, Deed
from gym_queue.benchmark.agents.claude_tool import TOOLSET, Call, tool_entry, version_for
from gym_queue.benchmark.agents.claude_tool import translate as claude
from gym_queue.benchmark.agents.hand import MAX_PATH, BadCall, Hand
from gym_queue.benchmark.agents.history import trim_images
from gym_queue.benchmark.agents.images import OffImage, Scale, encode, fit, zoom
from gym_queue.benchmark.agents.openai_actions import KINDS, name_of
from gym_queue.benchmark.agents.openai_chat import find_actions
from gym_queue.protocol.sessions import MAX_ACTIONS

SIDE = st.integers(1, 8000)
SAME = Scale((100, 100), (100, 100))
POINT = {"coordinate": [1, 1]}


def png_of(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def opened(b64: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64)))


@given(width=SIDE, height=SIDE, edge=st.integers(64, 3000), pixels=st.integers(4096, 4_000_000))
def test_an_image_fits_its_limits_is_never_larger_and_keeps_its_shape(width, height, edge, pixels):
    across, down = fit((width, height), edge_px=edge, pixels=pixels).sent
    assert max(across, down) <= edge
    assert across * down <= pixels or 1 in (across, down)
    assert across <= width
    assert down <= height
    assert abs(across * height - down * width) <= max(width, height)


@given(width=SIDE, height=SIDE, data=st.data())
def test_every_pixel_of_the_image_is_one_of_the_screen_and_comes_back(width, height, data):
    scale = fit((width, height), edge_px=1568, pixels=1_150_000)
    across, down = scale.sent
    point = data.draw(st.tuples(st.integers(0, across - 1), st.integers(0, down - 1)))
    x, y = scale.to_screen(point)
    assert 0 <= x < width
    assert 0 <= y < height
    assert scale.to_image((x, y)) == point


@pytest.mark.parametrize("point", [(100, 0), (0, 100), (-1, 0)])
def test_a_point_beside_the_image_is_none_of_the_screen(point):
    with pytest.raises(OffImage, match="off the screen of 100 x 100"):
        SAME.to_screen(point)


def test_an_image_of_the_screens_own_size_is_sent_as_it_is():
    png = png_of(Image.new("RGB", (100, 100)))
    assert base64.b64decode(encode(png, SAME)) == png
    assert opened(encode(png, Scale((100, 100), (50, 50)))).size == (50, 50)


def test_a_zoom_shows_its_region_alone_as_large_as_there_is_room():
    screen = Image.new("RGB", (200, 200), "black")
    screen.paste("white", (100, 0, 200, 100))
    seen = opened(zoom(png_of(screen), Scale((200, 200), (100, 100)), (55, 5, 95, 25)))
    assert seen.size == (100, 50)
    assert seen.getextrema() == ((255, 255),) * 3


def test_images_are_let_go_from_the_oldest_and_half_at_once():
    picture = {"type": "image"}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "tool_result", "content": [dict(picture)]}, dict(picture)]}
        for _ in range(3)
    ]
    old = {"type": "text", "text": "gone"}

    def is_image(block: dict[str, Any]) -> bool:
        return bool(block["type"] == "image")

    assert trim_images(messages, keep=6, is_image=is_image, old=old) is None
    assert trim_images(messages, keep=5, is_image=is_image, old=old) == 0
    assert str(messages).count("gone") == 3
    assert "gone" not in str(messages[2])
    assert trim_images(messages, keep=1, is_image=is_image, old=old) == 1
    assert messages[2]["content"][1] == picture


def test_a_click_without_a_point_is_where_the_pointer_is():
    hand = Hand(Scale((200, 200), (100, 100)))
    with pytest.raises(BadCall, match="not moved yet"):
        hand.click("left_click", None)
    hand.move((10, 20))
    assert hand.click("left_click", None) == [{"mouse": {"left_click": (21, 41)}}]
    assert hand.position == (10, 20)


@pytest.mark.parametrize(
    "call",
    [
        lambda hand: hand.press([]),
        lambda hand: hand.press("a", repeat=0),
        lambda hand: hand.press("x" * 200),
        lambda hand: hand.type("x" * 100_001),
        lambda hand: hand.wait(-1),
        lambda hand: hand.wait(float("nan")),
        lambda hand: hand.scroll(5000, (1, 1)),
        lambda hand: hand.move((100, 1)),
    ],
)
def test_what_no_environment_takes_is_a_bad_call(call):
    with pytest.raises(BadCall):
        call(Hand(SAME))


def test_a_batch_never_asks_more_of_one_step_than_a_step_takes():
    hand = Hand(SAME)
    batch: Batch[int] = Batch(range(30), lambda _: Deed(hand.press("a", repeat=100)), SAME)
    sizes = []
    while not batch.is_done:
        sizes.append(len(batch.go_on()))
    assert sizes == [MAX_ACTIONS] * 3
    assert len(batch.answers) == 30


CLAUDES: dict[str, dict[str, Any]] = {
    "key": {"text": "a", "repeat": None},
    "type": {"text": "a"},
    "left_click_drag": {"start_coordinate": [1, 1], "coordinate": [2, 2]},
    "left_mouse_down": {"coordinate": [5, 5]},
    "scroll": {"scroll_direction": "left", "scroll_amount": 2},
    "wait": {"duration": 1},
    "zoom": {"region": [0, 0, 5, 5]},
}
"""What the calls of Anthropic's tool that need more than a point are given."""


@pytest.mark.parametrize("name", [*get_args(BetaComputerMemberName), "back"])
def test_every_action_that_anthropics_package_knows_is_done_or_said_to_be_off(name):
    hand = Hand(SAME)
    hand.move((1, 1))
    call = Call("id", name, "computer", CLAUDES.get(name, {} if name.startswith("left_m") else POINT))
    if name in ("hold_key", "back"):
        with pytest.raises(BadCall):
            claude(call, hand)
        return
    deed = claude(call, hand)
    assert deed.actions or deed.is_look or name == "cursor_position"


def test_hold_key_which_no_environment_has_is_not_offered():
    assert tool_entry(TOOLSET, (1, 1))["configs"] == {"hold_key": {"enabled": False}}


def test_every_action_that_openais_package_knows_is_known():
    union, _ = get_args(ComputerAction)
    theirs = {
        kind.model_fields["type"].annotation.__args__[0]: set(kind.model_fields) for kind in get_args(union)
    }
    ours = {name_of(kind): set(kind.model_fields) for kind in KINDS}
    assert theirs.keys() == ours.keys()
    assert all(fields <= ours[name] for name, fields in theirs.items())


def test_a_drag_follows_its_path_which_is_thinned_when_it_is_long():
    hand = Hand(SAME)
    moves = hand.trace([(x % 100, x % 100) for x in range(1000)])
    assert len(moves) == MAX_PATH + 2
    assert moves[0] == {"mouse": {"move": (0, 0)}}
    assert moves[-2:] == [{"mouse": {"move": (99, 99)}}, {"mouse": {"buttons": {"left_up": True}}}]


def test_after_a_failure_nothing_more_of_a_batch_is_done():
    def translate(call: str) -> Deed:
        if call == "bad":
            raise BadCall("no")
        return Deed([{"keyboard": {"text": call}}])

    batch: Batch[str] = Batch(["a", "bad", "c"], translate, SAME)
    assert batch.go_on() == [{"keyboard": {"text": "a"}}]
    assert [answer.error for answer in batch.answers] == [None, "no", HALTED]


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-opus-5", "computer_toolset_20260801"),
        ("claude-opus-4-8", "computer_toolset_20260801"),
        ("claude-haiku-5-5", "computer_toolset_20260801"),
        ("claude-opus-4-7", "computer_20251124"),
        ("claude-opus-4-5-20251101", "computer_20251124"),
        ("anthropic.claude-sonnet-4-6", "computer_20251124"),
        ("claude-opus-4-1", "computer_20250124"),
        ("claude-sonnet-4-20250514", "computer_20250124"),
        ("claude-3-7-sonnet-latest", "computer_20250124"),
        ("claude-haiku-4-5", "computer_20250124"),
    ],
)
def test_the_tool_follows_the_model(model, version):
    assert version_for(model) == version


@given(text=st.text(alphabet='{}[]":,ab1 `\n\\', max_size=200))
def test_any_text_is_searched_for_actions_without_an_error(text):
    assert find_actions(text) is None or isinstance(find_actions(text), list)


def test_words_without_json_hold_no_action():
    assert find_actions("It is done {at last} [1].") is None
    assert find_actions('{"thought": 1}') == []
    assert [each.name for each in find_actions('{"action": "wait"} then {"action": "done"}') or ()] == [
        "wait",
        "done",
    ]
