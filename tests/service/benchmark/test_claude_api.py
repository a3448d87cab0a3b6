"""The Claude agent before an API of this machine: what it sends, and what it makes of the answers."""

from __future__ import annotations

import pytest

from gym_queue.benchmark.agents.batch import HALTED
from gym_queue.benchmark.agents.history import OLD_SCREEN
from gym_queue.errors import ActionInvalid

from .modelapis import member, message, older, size_of, text

DONE = message(text("It is done."))


def blocks(body, kind):
    """Return every block of a kind that a request holds, in tool results too."""
    found = []
    for sent in body["messages"]:
        for block in sent["content"]:
            inner = block.get("content") if block["type"] == "tool_result" else None
            found += [each for each in [block, *(inner or [])] if each["type"] == kind]
    return found


def marks(value) -> int:
    """Return how many cache marks a request holds."""
    if isinstance(value, dict):
        return ("cache_control" in value) + sum(map(marks, value.values()))
    return sum(map(marks, value)) if isinstance(value, list) else 0


@pytest.mark.parametrize(
    ("screen", "sent"),
    [((1920, 1080), (1429, 804)), ((2560, 1440), (1429, 804)), ((1000, 2000), (758, 1516))],
)
def test_a_screen_is_sent_within_limits_and_points_come_back_in_its_own_pixels(server, stage, screen, sent):
    stage.resolution = screen
    server.play(message(text("I click."), member("t1", "left_click", coordinate=[700, 400])), DONE)
    agent = stage.agent()
    turn = agent.act(stage.look(), step=0)
    (image,) = blocks(server.bodies[0], "image")
    assert size_of(image["source"]["data"]) == sent
    point = (int(700.5 * screen[0] / sent[0]), int(400.5 * screen[1] / sent[1]))
    assert turn.actions == [{"mouse": {"left_click": point}}]
    assert turn.note == "I click."
    last = agent.act(stage.look(), step=1)
    assert (last.done, last.note, list(last.actions)) == (True, "It is done.", [])


def test_a_small_screen_is_never_scaled_up(server, stage):
    stage.resolution = (320, 200)
    server.play(DONE)
    stage.agent().act(stage.look(), step=0)
    assert size_of(blocks(server.bodies[0], "image")[0]["source"]["data"]) == (320, 200)


def test_calls_of_one_answer_are_done_in_order_and_answered_by_their_ids(server, stage):
    server.play(
        message(
            member("t1", "mouse_move", coordinate=[5, 6]),
            member("t2", "left_mouse_down"),
            member("t3", "left_mouse_up"),
            member("t4", "type", text="hi\n"),
            member("t5", "key", text="ctrl+s", repeat=2),
            member("t6", "scroll", coordinate=[7, 8], scroll_direction="up", scroll_amount=3),
            member("tb", "scroll", scroll_direction="right", scroll_amount=2, text="ctrl"),
            member("t7", "left_click_drag", start_coordinate=[1, 2], coordinate=[3, 4]),
            member("t8", "triple_click"),
            member("t9", "cursor_position"),
            member("ta", "wait", duration=2),
        ),
        DONE,
    )
    agent = stage.agent()
    turn = agent.act(stage.look(), step=0)
    assert turn.actions == [
        {"mouse": {"move": (5, 6)}},
        {"mouse": {"buttons": {"left_down": True}}},
        {"mouse": {"buttons": {"left_up": True}}},
        {"keyboard": {"text": "hi\n"}},
        *[{"keyboard": {"keys": ["ctrl", "s"]}}] * 2,
        {"mouse": {"move": (7, 8), "scroll": -3}},
        {"mouse": {"scroll": 2, "held": ["shift", "ctrl"]}},
        {"mouse": {"left_click_drag": [(1, 2), (3, 4)]}},
        {"mouse": {"triple_click": (3, 4)}},
        {"action": "wait", "time": 2.0},
    ]
    agent.act(stage.look(), step=1)
    results = blocks(server.bodies[1], "tool_result")
    ids = [*(f"t{n}" for n in range(1, 7)), "tb", "t7", "t8", "t9", "ta"]
    assert [each["tool_use_id"] for each in results] == ids
    assert {each["toolset_name"] for each in results} == {"computer"}
    assert results[9]["content"] == [{"type": "text", "text": "X=3,Y=4"}]
    assert server.bodies[1]["messages"][2]["content"][-1]["type"] == "image"


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (member("t1", "left_click", coordinate=[1280, 10]), "off the screen of 1280 x 720"),
        (member("t1", "left_click", coordinate=[-1, 10]), "off the screen"),
        (member("t1", "left_click", coordinate="10, 10"), "coordinate: Input should be a valid tuple"),
        (member("t1", "left_click"), "was not moved yet"),
        (member("t1", "hold_key", text="a", duration=1), "cannot be held down on its own"),
        (member("t1", "fly", height=3), "height: Extra inputs are not permitted"),
        (member("t1", "fly"), "there is no action 'fly'; known are left_click"),
        (member("t1", "key"), "text is missing"),
        (member("t1", "key", text="a", repeat=1000), "1 to 100 times"),
        (member("t1", "wait", duration=10_000), "0 to 600 seconds"),
        (member("t1", "zoom", region=[10, 10, 5, 5]), "the region .* is not one"),
        (member("t1", "scroll", scroll_direction="inwards", coordinate=[1, 1]), "Input should be 'up'"),
        ({**older("t1", "wait", duration=1), "name": "bash"}, "there is no tool 'bash'"),
        ({**older("t1", "wait"), "input": "nonsense"}, "the input must be an object"),
    ],
)
def test_a_call_that_cannot_be_done_is_answered_as_an_error_and_the_rest_is_left(server, stage, call, why):
    server.play(message(call, member("t2", "type", text="x")), DONE)
    agent = stage.agent()
    assert list(agent.act(stage.look(), step=0).actions) == []
    while not agent.act(stage.look(), step=1).done:
        pass
    first, second = blocks(server.bodies[1], "tool_result")
    assert first["is_error"]
    assert second["is_error"]
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(first["content"][0]["text"])
    assert second["content"] == [{"type": "text", "text": HALTED}]


def test_keys_are_held_during_what_the_mouse_does(server, stage):
    server.play(
        message(
            member("t1", "left_click", coordinate=[1, 2], text="ctrl+shift"),
            member("t2", "left_click_drag", start_coordinate=[1, 2], coordinate=[3, 4], text="alt"),
            member("t3", "scroll", scroll_direction="down", scroll_amount=1, coordinate=[5, 6], text="ctrl"),
        )
    )
    assert stage.agent().act(stage.look(), step=0).actions == [
        {"mouse": {"left_click": (1, 2), "held": ["ctrl", "shift"]}},
        {"mouse": {"left_click_drag": [(1, 2), (3, 4)], "held": ["alt"]}},
        {"mouse": {"move": (5, 6), "scroll": 1, "held": ["ctrl"]}},
    ]


def test_what_the_environment_refuses_is_an_error_of_the_call(server, stage):
    server.play(message(member("t1", "key", text="hyper+x")), DONE)
    agent = stage.agent()
    agent.act(stage.look(), step=0)
    agent.refused(ActionInvalid("keyboard.keys: 'hyper' is not a key"))
    agent.act(stage.look(), step=1)
    (result,) = blocks(server.bodies[1], "tool_result")
    assert result["is_error"]
    assert "'hyper' is not a key" in result["content"][0]["text"]


def test_a_look_in_the_middle_sees_what_came_before_it(server, stage):
    zoomed = member("t3", "zoom", region=[0, 0, 128, 72])
    server.play(message(member("t1", "type", text="a"), member("t2", "screenshot"), zoomed), DONE)
    agent = stage.agent()
    assert agent.act(stage.look(), step=0).actions == [{"keyboard": {"text": "a"}}]
    assert agent.act(stage.look(), step=1).actions == []
    assert len(server.bodies) == 1
    agent.act(stage.look(), step=2)
    _, shot, close = blocks(server.bodies[1], "tool_result")
    assert size_of(shot["content"][0]["source"]["data"]) == (1280, 720)
    assert size_of(close["content"][0]["source"]["data"]) == (1280, 720)


def test_tools_system_and_the_last_two_turns_are_marked_for_the_cache(server, stage):
    server.play(*[message(member(f"t{n}", "wait", duration=0)) for n in range(3)], DONE)
    agent = stage.agent(system="Be quick.")
    for step in range(4):
        agent.act(stage.look("$ ls"), step=step)
    body = server.bodies[3]
    assert "cache_control" in body["tools"][0]
    assert "cache_control" in body["system"][0]
    assert "Be quick." in body["system"][0]["text"]
    marked = [marks(sent) for sent in body["messages"] if sent["role"] == "user"]
    assert marked == [0, 0, 1, 1]
    assert marks(body) == 4
    assert body["messages"][-1]["content"][-1]["text"] == "The screen's text:\n$ ls"


def test_old_screenshots_become_words_and_thoughts_after_them_are_let_go(server, stage):
    thought = {"type": "thinking", "thinking": "", "signature": "s"}
    server.play(*[message(thought, member(f"t{n}", "screenshot")) for n in range(5)], DONE)
    agent = stage.agent(images=4)
    for step in range(6):
        agent.act(stage.look(), step=step)
    assert [len(blocks(body, "image")) for body in server.bodies] == [1, 2, 3, 4, 2, 3]
    assert [len(blocks(body, "thinking")) for body in server.bodies] == [0, 1, 2, 3, 0, 1]
    olds = [each for each in blocks(server.bodies[5], "text") if each["text"] == OLD_SCREEN]
    assert len(olds) == 3
    assert len(blocks(server.bodies[5], "tool_result")) == 5


def test_thoughts_of_a_budget_are_kept(server, stage):
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    server.play(*[message(thought, older(f"t{n}", "screenshot")) for n in range(3)], DONE)
    agent = stage.agent(images=1, thinking_budget=2048, model="claude-sonnet-4-5")
    for step in range(4):
        agent.act(stage.look(), step=step)
    assert server.bodies[3]["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert len(blocks(server.bodies[3], "thinking")) == 3


@pytest.mark.parametrize(
    ("model", "tool", "beta"),
    [
        ("claude-opus-5-5", "computer_toolset_20260801", None),
        ("claude-opus-4-8", "computer_toolset_20260801", None),
        ("claude-opus-4-6", "computer_20251124", "computer-use-2025-11-24"),
        ("claude-sonnet-4-5-20250929", "computer_20250124", "computer-use-2025-01-24"),
    ],
)
def test_a_model_gets_the_newest_tool_that_it_knows(server, stage, model, tool, beta):
    server.play(DONE)
    stage.agent(model=model, temperature=0.5, max_tokens=2000, effort="low").act(stage.look(), step=0)
    (received,) = server.received
    assert received.body["tools"][0]["type"] == tool
    assert received.headers.get("anthropic-beta") == beta
    assert received.body["tools"][0].get("display_width_px") == (1280 if beta else None)
    assert (received.body["temperature"], received.body["max_tokens"]) == (0.5, 2000)
    assert received.body["output_config"] == {"effort": "low"}
    assert received.headers["anthropic-version"] == "2023-06-01", "newer versions refuse a temperature"


def test_the_older_tool_is_answered_without_a_toolset(server, stage):
    server.play(message(older("t1", "left_click", coordinate=[9, 9])), DONE)
    agent = stage.agent(tool="computer_20250124")
    assert agent.act(stage.look(), step=0).actions == [{"mouse": {"left_click": (9, 9)}}]
    agent.act(stage.look(), step=1)
    assert "toolset_name" not in blocks(server.bodies[1], "tool_result")[0]


def test_an_answer_that_was_cut_off_does_nothing_and_is_said_so(server, stage):
    server.play(
        message(member("t1", "type"), reason="max_tokens"),
        message(text("I think"), reason="max_tokens"),
        message({"type": "thinking", "thinking": "..", "signature": "s"}, reason="max_tokens"),
        DONE,
    )
    agent = stage.agent()
    turns = [agent.act(stage.look(), step=step) for step in range(4)]
    assert [(list(turn.actions), turn.done) for turn in turns] == [([], False)] * 3 + [([], True)]
    assert "cut off" in blocks(server.bodies[1], "tool_result")[0]["content"][0]["text"]
    assert "cut off" in server.bodies[2]["messages"][-1]["content"][0]["text"]
    roles = [sent["role"] for sent in server.bodies[3]["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "user"]


@pytest.mark.parametrize("reason", ["refusal", "model_context_window_exceeded"])
def test_a_model_that_refuses_or_is_full_is_done(server, stage, reason):
    server.play(message(text("No."), reason=reason))
    turn = stage.agent().act(stage.look(), step=0)
    assert turn.done
    assert turn.note.startswith("The model")


def test_tokens_are_counted_by_kind_and_cost_what_the_prices_say(server, stage):
    cached = {"cache_read_input_tokens": 7, "cache_creation_input_tokens": 3}
    server.play(message(member("t1", "screenshot"), usage=cached), message(text("ok"), usage=cached))
    prices = {"input_price": 3, "output_price": "15", "cache_read_price": 0.3, "cache_write_price": 3.75}
    free, dear = stage.agent(), stage.agent(**prices)
    for step in range(2):
        free.act(stage.look(), step=step)
    server.play(message(member("t1", "screenshot"), usage=cached), message(text("ok"), usage=cached))
    for step in range(2):
        dear.act(stage.look(), step=step)
    counts = {"input_tokens": 20, "output_tokens": 10, "cache_read_tokens": 14, "cache_write_tokens": 6}
    assert free.usage == {"requests": 2, **counts}
    assert dear.usage.pop("cost_usd") == pytest.approx((20 * 3 + 10 * 15 + 14 * 0.3 + 6 * 3.75) / 1e6)
