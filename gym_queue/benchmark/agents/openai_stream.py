"""Streamed answers of OpenAI's APIs, and of those like them, put together.

Source: https://platform.openai.com/docs/api-reference/responses-streaming and /chat-streaming
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gym_queue.benchmark.agents.modelerrors import StreamError, streamed_error

CUT = "the stream ended in the middle of an answer"
_LAST = ("response.completed", "response.incomplete", "response.failed")
"""Events that hold the whole response."""


def join_response(events: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Return the response that a stream's last event holds.

    Raises:
        StreamError: An event says that it failed, or it ended before its response did.
    """
    for event in events:
        kind = event.get("type")
        if kind == "error":
            raise streamed_error({name: event.get(name) for name in ("code", "message")})
        if kind in _LAST:
            response: dict[str, Any] = event["response"]
            return response
    raise StreamError(CUT)


def join_completion(events: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Return the chat completion that a stream's pieces come to, of its first choice alone.

    Raises:
        StreamError: The stream ended before its answer did.
    """
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    calls: dict[int, dict[str, Any]] = {}
    reason, usage = None, None
    for event in events:
        usage = event.get("usage") or usage
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            for name in ("content", "refusal"):
                if delta.get(name):
                    message[name] = (message.get(name) or "") + delta[name]
            for piece in delta.get("tool_calls") or ():
                _grow(calls, piece)
            reason = choice.get("finish_reason") or reason
    if reason is None:
        raise StreamError(CUT)
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {"choices": [{"message": message, "finish_reason": reason}], "usage": usage}


def _grow(calls: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    """Add a piece of a call; one without index begins a call when it has an id, and continues the last otherwise."""
    index = piece.get("index")
    if index is None:
        index = len(calls) - (0 if piece.get("id") or not calls else 1)
    call = calls.setdefault(index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call["id"] = call["id"] or piece.get("id") or ""
    function = piece.get("function") or {}
    call["function"]["name"] = call["function"]["name"] or function.get("name") or ""
    call["function"]["arguments"] += function.get("arguments") or ""
