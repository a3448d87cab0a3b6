"""The OpenAI agent before an API of this machine, in both its modes."""

from __future__ import annotations

import pytest

from gym_queue.benchmark.agents.history import OLD_SCREEN
from gym_queue.errors import ActionInvalid, AgentFailed, BadReply, ModelUnreachable

from .modelapis import completion, computer_call, response, said, size_of

CHECK = {"id": "sc_1", "code": "malicious_instructions", "message": "Look first"}


def images_of(body) -> int:
    return str(body).count("data:image/png")


def test_responses_sends_the_tool_and_only_what_is_new(server, stage):
    stage.resolution = (2560, 1440)
    click = {"type": "click", "button": "right", "x": 10, "y": 10}
    server.play(
        response(computer_call("c1", click), response_id="r1"), response(said("Done."), response_id="r2")
    )
    agent = stage.agent("OpenAIAgent", effort="low", temperature=0.5)
    turn = agent.act(stage.look("$ ls"), step=0)
    assert turn.actions == [{"mouse": {"right_click": (18, 18)}}]
    last = agent.act(stage.look("$ ls"), step=1)
    assert (last.done, last.note) == (True, "Done.")
    first, second = server.bodies
    assert server.received[0].path == "/responses"
    assert (first["tools"], first["truncation"]) == ([{"type": "computer"}], "auto")
    assert (first["reasoning"], first["temperature"]) == ({"effort": "low"}, 0.5)
    words, image = first["input"][0]["content"]
    assert "Do a." in words["text"]
    assert "$ ls" in words["text"]
    assert size_of(image["image_url"]) == (1429, 804)
    assert second["previous_response_id"] == "r1"
    output, text = second["input"]
    assert (output["type"], output["call_id"]) == ("computer_call_output", "c1")
    assert size_of(output["output"]["image_url"]) == (1429, 804)
    assert "$ ls" in text["content"][0]["text"]


def test_responses_takes_every_action_of_the_tool(server, stage):
    server.play(
        response(
            computer_call(
                "c1",
                {"type": "click", "button": "wheel", "x": 1, "y": 2},
                {"type": "double_click", "x": 3, "y": 4, "keys": None},
                {"type": "click", "button": "left", "x": 3, "y": 4, "keys": ["SHIFT"]},
                {"type": "move", "x": 5, "y": 6},
                {"type": "drag", "path": [{"x": 1, "y": 1}, {"x": 9, "y": 9}], "keys": ["ALT"]},
                {"type": "drag", "path": [{"x": 1, "y": 1}, {"x": 2, "y": 2}, {"x": 9, "y": 9}]},
                {"type": "keypress", "keys": ["CTRL", "S"]},
                {"type": "type", "text": "hi"},
                {"type": "scroll", "x": 7, "y": 8, "scroll_x": 0, "scroll_y": 250},
                {"type": "scroll", "x": 7, "y": 8, "scroll_x": -250, "scroll_y": 0},
                {"type": "scroll", "x": 7, "y": 8, "scroll_x": 5, "scroll_y": 5},
                {"type": "wait"},
                {"type": "screenshot"},
            )
        ),
    )
    assert stage.agent("OpenAIAgent").act(stage.look(), step=0).actions == [
        {"mouse": {"middle_click": (1, 2)}},
        {"mouse": {"double_click": (3, 4)}},
        {"mouse": {"left_click": (3, 4), "held": ["shift"]}},
        {"mouse": {"move": (5, 6)}},
        {"mouse": {"left_click_drag": [(1, 1), (9, 9)], "held": ["alt"]}},
        {"mouse": {"move": (1, 1)}},
        {"mouse": {"buttons": {"left_down": True}}},
        {"mouse": {"move": (2, 2)}},
        {"mouse": {"move": (9, 9)}},
        {"mouse": {"buttons": {"left_up": True}}},
        {"keyboard": {"keys": ["ctrl", "S"]}},
        {"keyboard": {"text": "hi"}},
        {"mouse": {"move": (7, 8), "scroll": 2}},
        {"mouse": {"move": (7, 8), "scroll": -2, "held": ["shift"]}},
        {"mouse": {"move": (7, 8), "scroll": 1}},
        {"mouse": {"move": (7, 8), "scroll": 1, "held": ["shift"]}},
        {"action": "wait", "time": 2.0},
    ]


def test_the_preview_model_gets_its_own_tool_and_single_actions(server, stage):
    call = computer_call("c1") | {"action": {"type": "type", "text": "x"}}
    server.play(response({name: value for name, value in call.items() if name != "actions"}))
    agent = stage.agent("OpenAIAgent", model="computer-use-preview-2025-03-11")
    assert agent.act(stage.look(), step=0).actions == [{"keyboard": {"text": "x"}}]
    assert server.bodies[0]["tools"] == [
        {"type": "computer_use_preview", "display_width": 1280, "display_height": 720, "environment": "linux"}
    ]


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ({"type": "click", "button": "left", "x": 1280, "y": 0}, "off the screen"),
        ({"type": "click", "button": "back", "x": 1, "y": 1}, "no button back: press alt+left"),
        ({"type": "fly"}, "does not match any of the expected tags"),
        ({"type": "type"}, "text: Field required"),
        (None, "valid dictionary"),
        ("click", "valid dictionary"),
    ],
)
def test_an_action_that_cannot_be_done_is_told_beside_the_screen(server, stage, action, why):
    server.play(response(computer_call("c1", action, {"type": "type", "text": "x"})), response(said("Done.")))
    agent = stage.agent("OpenAIAgent")
    assert list(agent.act(stage.look(), step=0).actions) == []
    agent.act(stage.look(), step=1)
    output, told = server.bodies[1]["input"]
    assert output["call_id"] == "c1"
    assert why in told["content"][0]["text"]
    assert "Not executed" in told["content"][0]["text"]


def test_a_safety_check_is_acknowledged_only_when_an_option_says_so(server, stage):
    asked = response(computer_call("c1", {"type": "type", "text": "x"}, checks=[CHECK]))
    server.play(asked)
    with pytest.raises(AgentFailed, match=r"Look first.*acknowledge_safety_checks=true"):
        stage.agent("OpenAIAgent").act(stage.look(), step=0)
    server.play(asked, response(said("ok")))
    agent = stage.agent("OpenAIAgent", acknowledge_safety_checks="true")
    notes = [agent.act(stage.look(), step=step).note for step in range(2)]
    assert server.bodies[-1]["input"][0]["acknowledged_safety_checks"] == [CHECK]
    assert notes == ["(Safety check acknowledged: Look first)", "ok"]


def test_a_response_that_was_cut_off_goes_on_and_a_failed_one_is_an_error(server, stage):
    server.play(response(status="incomplete"), response(said("Done.")))
    agent = stage.agent("OpenAIAgent")
    assert not agent.act(stage.look(), step=0).done
    assert agent.act(stage.look(), step=1).done
    assert "cut off" in str(server.bodies[1]["input"])
    for code, kind in (("invalid_prompt", AgentFailed), ("server_error", ModelUnreachable)):
        server.play({**response(status="failed"), "error": {"code": code, "message": "Oh no"}})
        with pytest.raises(kind, match="Oh no"):
            stage.agent("OpenAIAgent").act(stage.look(), step=0)


def test_chat_offers_a_function_for_each_action_and_answers_by_id(server, stage):
    calls = [
        ("a", "click", {"x": 4, "y": 5}),
        ("b", "keypress", {"keys": ["Return"]}),
        ("c", "click", "{not json"),
        ("d", "type", {"text": "never"}),
    ]
    server.play(completion(None, *calls), completion("", ("e", "done", {})))
    agent = stage.agent("OpenAIAgent", mode="chat")
    turn = agent.act(stage.look(), step=0)
    assert turn.actions == [{"mouse": {"left_click": (4, 5)}}, {"keyboard": {"keys": ["return"]}}]
    assert agent.act(stage.look("$"), step=1).done
    first, second = server.bodies
    assert server.received[0].path == "/chat/completions"
    names = {tool["function"]["name"] for tool in first["tools"]}
    assert names >= {"click", "double_click", "drag", "move", "scroll", "type", "keypress", "wait", "done"}
    assert all("type" not in tool["function"]["parameters"].get("required", []) for tool in first["tools"])
    told = {sent["tool_call_id"]: sent["content"] for sent in second["messages"] if sent["role"] == "tool"}
    assert list(told) == ["a", "b", "c", "d"]
    assert [text.partition(":")[0] for text in told.values()] == ["OK", "OK", "Error", "Error"]
    assert second["messages"][2]["tool_calls"][0]["id"] == "a"
    assert second["messages"][-1]["content"][1]["type"] == "image_url"


@pytest.mark.parametrize(
    "written",
    [
        '{"action": "click", "x": 4, "y": 5}',
        'I click.\n```json\n{"action": "click", "x": 4, "y": 5}\n```\nThen I look {at it}.',
        'So: [{"name": "click", "arguments": {"x": 4, "y": 5, "button": "left"}}]',
        '{"action": {"type": "click", "x": 4, "y": 5}}',
        '<think>{"action": "done"}, or not?</think>{"action": "click", "x": 4, "y": 5}',
        '<tool_call>\n{"name": "click", "arguments": {"x": 4, "y": 5}}\n</tool_call>',
    ],
)
def test_chat_reads_actions_that_a_model_wrote_as_text(server, stage, written):
    server.play(completion(written), completion("All is done."))
    agent = stage.agent("OpenAIAgent", mode="chat")
    turn = agent.act(stage.look(), step=0)
    assert turn.actions == [{"mouse": {"left_click": (4, 5)}}]
    assert not turn.done
    assert agent.act(stage.look(), step=1).done
    assert "click: OK" in server.bodies[1]["messages"][-1]["content"][0]["text"]


def test_chat_validates_what_it_read_strictly_and_says_what_is_wrong(server, stage):
    server.play(
        completion('{"action": "click", "x": "left", "y": 5}'),
        completion('{"thought": "hm"}'),
        completion("<think>I wonder.</think>\n"),
        completion('{"action": "done"}'),
    )
    agent = stage.agent("OpenAIAgent", mode="chat")
    turns = [agent.act(stage.look(), step=step) for step in range(4)]
    assert [(list(turn.actions), turn.done) for turn in turns] == [([], False)] * 3 + [([], True)]
    assert "valid integer" in str(server.bodies[1]["messages"][-1])
    assert "holds no action" in str(server.bodies[2]["messages"])
    assert "was empty" in str(server.bodies[3]["messages"])


def test_chat_keeps_the_last_screenshots_alone(server, stage):
    server.play(*[completion(None, (f"t{n}", "screenshot", {})) for n in range(6)])
    agent = stage.agent("OpenAIAgent", mode="chat", images=2)
    for step in range(6):
        agent.act(stage.look(), step=step)
    assert [images_of(body) for body in server.bodies] == [1, 2, 1, 2, 1, 2]
    assert str(server.bodies[-1]).count(OLD_SCREEN) == 4


def test_chat_that_was_cut_off_does_nothing_and_is_said_so(server, stage):
    server.play(completion(None, ("a", "type", '{"text": "rm'), reason="length"), completion("Done."))
    agent = stage.agent("OpenAIAgent", mode="chat", max_tokens=77)
    assert list(agent.act(stage.look(), step=0).actions) == []
    agent.act(stage.look(), step=1)
    assert server.bodies[0]["max_tokens"] == 77
    told = next(sent for sent in server.bodies[1]["messages"] if sent["role"] == "tool")
    assert (told["tool_call_id"], "cut off" in told["content"]) == ("a", True)


@pytest.mark.parametrize("mode", ["responses", "chat"])
def test_what_the_environment_refuses_is_told(server, stage, mode):
    press = {"keys": ["HYPER"]}
    answers = {
        "responses": (response(computer_call("c1", {"type": "keypress", **press})), response(said("Done."))),
        "chat": (completion(None, ("c1", "keypress", press)), completion("Done.")),
    }
    server.play(*answers[mode])
    agent = stage.agent("OpenAIAgent", mode=mode)
    agent.act(stage.look(), step=0)
    agent.refused(ActionInvalid("keyboard.keys: 'hyper' is not a key"))
    agent.act(stage.look(), step=1)
    assert "'hyper' is not a key" in str(server.bodies[1])


@pytest.mark.parametrize("mode", ["responses", "chat"])
@pytest.mark.parametrize(
    "body", [{}, {"output": "no"}, {"choices": []}, {"choices": [{"message": "no"}]}, [1]]
)
def test_a_reply_of_another_shape_is_a_bad_reply(server, stage, mode, body):
    server.play(body)
    with pytest.raises(BadReply, match="the model's API"):
        stage.agent("OpenAIAgent", mode=mode).act(stage.look(), step=0)


def test_tokens_are_counted_by_kind_and_cached_ones_cost_as_read_ones_without_a_price(server, stage):
    server.play(response(said("Done.")))
    agent = stage.agent("OpenAIAgent", input_price=2, output_price=10)
    agent.act(stage.look(), step=0)
    counts = {"input_tokens": 9, "output_tokens": 4, "cache_read_tokens": 8, "cache_write_tokens": 3}
    assert agent.usage == {"requests": 1, **counts, "cost_usd": pytest.approx((20 * 2 + 4 * 10) / 1e6)}
