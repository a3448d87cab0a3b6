"""Answers that come piece by piece, from both vendors' APIs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from gym_queue.errors import AgentFailed, BadReply, ModelDenied, ModelUnreachable

from .modelapis import (
    Played,
    Streamed,
    completion,
    computer_call,
    member,
    message,
    response,
    text,
)

ACTION = [{"mouse": {"left_click": (40, 50)}}]
POINT = {"x": 40, "y": 50}
USAGE = {
    "requests": 1,
    "input_tokens": 10,
    "output_tokens": 5,
    "cache_read_tokens": 7,
    "cache_write_tokens": 0,
}


def sse(event: dict[str, Any]) -> bytes:
    named = f"event: {event['type']}\n" if "type" in event else ""
    return f"{named}data: {json.dumps(event)}\n\n".encode()


def message_events(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what Anthropic's API sends of a message: a call's input and a text in pieces of 3 characters."""
    yield {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}
    for index, block in enumerate(whole["content"]):
        is_call = block["type"] == "tool_use"
        field, kind = ("input", "input_json_delta") if is_call else ("text", "text_delta")
        said = json.dumps(block["input"]) if is_call else block["text"]
        empty = {**block, field: {} if is_call else ""}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "ping"}
        for at in range(0, len(said), 3):
            piece = {"type": kind, "partial_json" if is_call else "text": said[at : at + 3]}
            yield {"type": "content_block_delta", "index": index, "delta": piece}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5, "input_tokens": None}}
    yield {"type": "message_stop"}


def response_events(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}}
    yield {"type": "response.output_item.added", "output_index": 0, "item": {}}
    yield {"type": f"response.{whole['status']}", "response": whole}


def completion_events(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a server such as vLLM's sends of a chat completion; the tokens come last, without a choice."""
    (choice,) = whole["choices"]
    shape = {"id": "c", "object": "chat.completion.chunk"}

    def piece(reason: str | None = None, **delta: Any) -> dict[str, Any]:
        return {**shape, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield piece(role="assistant", content="")
    for part in choice["message"]["content"] or "":
        yield piece(content=part)
    for index, call in enumerate(choice["message"].get("tool_calls", ())):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        yield piece(tool_calls=[{"index": index, "id": call["id"], "function": {"name": name}}])
        for part in arguments:
            yield piece(tool_calls=[{"index": index, "function": {"arguments": part}}])
    yield piece(choice["finish_reason"])
    yield {**shape, "choices": [], "usage": whole["usage"]}


def claude() -> list[bytes]:
    usage = {"cache_read_input_tokens": 7}
    whole = message(text("I click."), member("t1", "left_click", coordinate=[40, 50]), usage=usage)
    return [*map(sse, message_events(whole))]


def responses() -> list[bytes]:
    return [*map(sse, response_events(response(computer_call("c1", {"type": "click", **POINT}))))]


def chat() -> list[bytes]:
    whole = completion("I click.", ("a", "click", POINT))
    return [b": a comment keeps the line\n\n", *map(sse, completion_events(whole)), b"data: [DONE]\n\n"]


APIS = {
    "claude": ("ClaudeAgent", {}, claude),
    "responses": ("OpenAIAgent", {"mode": "responses"}, responses),
    "chat": ("OpenAIAgent", {"mode": "chat"}, chat),
}
ALL = pytest.mark.parametrize("api", list(APIS))


def act(server: Any, stage: Any, api: str, *script: Any, **options: Any) -> Any:
    """Return an agent's turn before a script, and the agent."""
    name, mode, _ = APIS[api]
    server.play(*script)
    agent = stage.agent(name, stream=True, **mode, **options)
    return agent.act(stage.look(), step=0), agent


def pieces(api: str) -> list[bytes]:
    return APIS[api][2]()


@ALL
def test_the_pieces_of_an_answer_are_put_together(server, stage, api):
    turn, agent = act(server, stage, api, Streamed(pieces(api)))
    assert turn.actions == ACTION
    assert server.bodies[0]["stream"] is True
    assert agent.usage["output_tokens"] > 0
    if api == "claude":
        assert agent.usage == USAGE
        assert turn.note == "I click."
    if api == "chat":
        assert server.bodies[0]["stream_options"] == {"include_usage": True}
        assert turn.note == "I click."


def test_a_long_answer_is_streamed_unless_an_option_says_otherwise(server, stage):
    server.play(Streamed(claude()))
    assert stage.agent(max_tokens=32_000).act(stage.look(), step=0).actions == ACTION
    server.play(message(text("Done.")))
    assert stage.agent(max_tokens=32_000, stream="no").act(stage.look(), step=0).done
    assert stage.agent(max_tokens=21_333).act(stage.look(), step=0).done
    assert [body.get("stream") for body in server.bodies] == [True, None, None]


@ALL
@pytest.mark.parametrize("is_broken", [True, False])
def test_an_answer_that_is_cut_in_the_middle_is_asked_for_again(server, stage, api, is_broken):
    whole = pieces(api)
    cut = Streamed(whole[: len(whole) // 2], is_broken=is_broken)
    turn, _ = act(server, stage, api, cut, Streamed(whole))
    assert turn.actions == ACTION
    assert server.bodies[0] == server.bodies[1]
    with pytest.raises(ModelUnreachable):
        act(server, stage, api, cut, max_retries=0)


def broken_off(api: str, kind: str) -> Streamed:
    """Return a stream that ends with an error of a kind, as its API writes it."""
    error = {"type": kind, "code": kind, "message": "So it is"}
    written: dict[str, dict[str, Any]] = {
        "claude": {"type": "error", "error": error},
        "responses": {"type": "error", "code": kind, "message": "So it is"},
        "chat": {"error": error},
    }
    return Streamed([*pieces(api)[:2], sse(written[api])])


@ALL
def test_an_overload_within_an_answer_is_waited_for_as_one_before_it(server, stage, api):
    limited = Played({"error": {"message": "slow down"}}, 429, {"retry-after-ms": "1"})
    turn, _ = act(server, stage, api, limited, broken_off(api, "overloaded_error"), Streamed(pieces(api)))
    assert turn.actions == ACTION
    assert len(server.received) == 3


@ALL
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("overloaded_error", ModelUnreachable),
        ("rate_limit_exceeded", ModelUnreachable),
        ("something_new", ModelUnreachable),
        ("insufficient_quota", ModelDenied),
        ("authentication_error", ModelDenied),
        ("invalid_request_error", AgentFailed),
    ],
)
def test_an_error_within_an_answer_says_whether_a_later_try_may_help(server, stage, api, kind, error):
    with pytest.raises(AgentFailed if error is not ModelUnreachable else error, match="So it is") as raised:
        act(server, stage, api, broken_off(api, kind), max_retries=0)
    assert type(raised.value) is error


def test_servers_that_number_their_errors_and_no_calls_are_understood(server, stage):
    numbered = sse({"error": {"message": "too long", "type": "BadRequestError", "code": 400}})
    with pytest.raises(AgentFailed, match="too long"):
        act(server, stage, "chat", Streamed([numbered]))
    unnumbered = [*map(sse, map(_without_index, completion_events(completion("", ("a", "click", POINT)))))]
    assert act(server, stage, "chat", Streamed(unnumbered))[0].actions == ACTION


def _without_index(event: dict[str, Any]) -> dict[str, Any]:
    for choice in event["choices"]:
        for call in choice["delta"].get("tool_calls", ()):
            call.pop("index")
    return event


@pytest.mark.parametrize("api", ["claude", "chat"])
def test_an_answer_may_take_longer_than_the_longest_silence(server, stage, api):
    first, *rest = pieces(api)
    pings = [b'event: ping\ndata: {"type": "ping"}\n\n'] * 8 if api == "claude" else [b": ping\n\n"] * 8
    slow = Streamed([first, *pings], gap_s=0.15)
    slow.pieces = [*slow.pieces, b"".join(rest)]
    assert act(server, stage, api, slow, timeout_s=1.0, max_retries=0)[0].actions == ACTION


@ALL
def test_a_stream_that_falls_silent_is_given_up(server, stage, api):
    silence = threading.Event()
    with pytest.raises(ModelUnreachable, match=r"did not answer within 0\.3 s"):
        act(server, stage, api, Streamed(pieces(api)[:2], silence=silence), timeout_s=0.3, max_retries=0)
    silence.set()


def nonsense() -> Sequence[tuple[str, bytes]]:
    start = sse(next(iter(message_events(message(text("a"))))))
    delta = {"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "x"}}
    return (
        ("claude", b"event: message_start\ndata: {nope\n\n"),
        ("claude", sse({"type": "content_block_stop"}) + sse(delta)),
        ("claude", start + sse(delta)),
        ("responses", sse({"type": "response.completed"})),
        ("chat", sse({"choices": "no"})),
        ("chat", b"data: {nope\n\n"),
    )


@pytest.mark.parametrize(("api", "raw"), nonsense())
def test_a_stream_of_another_shape_is_a_bad_reply(server, stage, api, raw):
    with pytest.raises(BadReply, match="the model's API"):
        act(server, stage, api, Streamed([raw]), max_retries=0)


def test_a_streamed_call_that_was_cut_off_is_not_done_and_goes_back_as_an_object(server, stage):
    whole = message(member("t1", "type", text="rm -rf"), reason="max_tokens")
    events = [event for event in message_events(whole) if event.get("delta", {}).get("partial_json") != 'f"}']
    turn, agent = act(server, stage, "claude", Streamed([*map(sse, events)]), Streamed(claude()))
    assert list(turn.actions) == []
    agent.act(stage.look(), step=1)
    assert server.bodies[1]["messages"][1]["content"][0]["input"] == {}
