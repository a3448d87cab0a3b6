"""A streamed answer of Anthropic's API, put together.

Source: https://docs.claude.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gym_queue.benchmark.agents.history import Block
from gym_queue.benchmark.agents.modelerrors import StreamError

_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
"""A piece's type → the field of its block that it continues."""
_JSON = "input_json_delta"


def join_message(events: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Return the message that a stream's events come to.

    Raises:
        StreamError: The stream ended before its message did.
    """
    message: dict[str, Any] = {}
    inputs: dict[int, str] = {}
    for event in events:
        kind = event.get("type")
        if kind == "message_start":
            message = {**event["message"], "content": []}
        elif kind == "content_block_start":
            message["content"].append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            _grow(message["content"][event["index"]], event["delta"], inputs, event["index"])
        elif kind == "message_delta":
            counts = {
                name: number for name, number in (event.get("usage") or {}).items() if number is not None
            }
            message |= event["delta"] | {"usage": (message.get("usage") or {}) | counts}
        elif kind == "message_stop":
            return _whole(message, inputs)
    raise StreamError("the stream ended in the middle of an answer")


def _grow(block: Block, delta: dict[str, Any], inputs: dict[int, str], index: int) -> None:
    kind = delta.get("type")
    if kind == _JSON:
        inputs[index] = inputs.get(index, "") + delta["partial_json"]
    elif kind in _GROWING:
        block[_GROWING[kind]] = block.get(_GROWING[kind], "") + delta[_GROWING[kind]]


def _whole(message: dict[str, Any], inputs: dict[int, str]) -> dict[str, Any]:
    for index, text in inputs.items():
        try:
            message["content"][index]["input"] = json.loads(text or "{}")
        except (
            ValueError
        ):  # max_tokens cut it off: such a call is not carried out, and goes back as an object
            message["content"][index]["input"] = {}
    return message
