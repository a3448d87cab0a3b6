"""A conversation by Anthropic's Messages API and its computer-use tool."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from gym_queue.benchmark.agents.batch import Answer, Deed
from gym_queue.benchmark.agents.claude_options import ClaudeOptions
from gym_queue.benchmark.agents.claude_stream import join_message
from gym_queue.benchmark.agents.claude_tool import Call, beta_headers, tool_entry, translate, version_for
from gym_queue.benchmark.agents.hand import Hand
from gym_queue.benchmark.agents.history import OLD_SCREEN, Block, Message, trim_images
from gym_queue.benchmark.agents.images import Size
from gym_queue.benchmark.agents.modelapi import ModelApi, Request, count
from gym_queue.benchmark.agents.prompt import CUT_OFF, GO_ON
from gym_queue.benchmark.agents.talk import Reply
from gym_queue.errors import BadReply

PATH = "/v1/messages"
SAMPLING_VERSION = "2023-06-01"
"""Last version of the API that takes a temperature."""
CACHED = {"type": "ephemeral"}
CACHED_TURNS = 2
"""Last turns of the user that are cached, beside the tools and the system prompt: an API takes four such marks."""
ENDS = {
    "end_turn": "",
    "stop_sequence": "",
    "refusal": "The model refused. ",
    "model_context_window_exceeded": "The model's context is full. ",
}
"""Reasons to stop that end the attempt → what is noted."""
AT_ONCE = ("refusal", "model_context_window_exceeded")
"""Those that do so whatever the message holds."""


class ClaudeTalk:
    """One attempt's conversation.

    Args:
        api: The API.
        options: What to ask it.
        system: What the model is told first.
        size: width, height of screenshots, in pixels.
    """

    def __init__(self, api: ModelApi, options: ClaudeOptions, *, system: str, size: Size) -> None:
        self._api, self._options, self._system, self._size = api, options, system, size
        self._version = options.tool or version_for(options.model)
        self._messages: list[Message] = []
        self._cut_off: list[Block] = []

    def say(self, text: str, image: str | None = None) -> None:
        """Add words of the user, and a screenshot, to the conversation."""
        self._add([_text(text), *([_image(image)] if image else [])])

    def answer(self, answers: Sequence[Answer[Call]], image: str | None, text: str | None) -> None:
        """Add the answers to the last calls, and what is there now, to the conversation."""
        content = [*(_result(answer) for answer in answers), *self._cut_off] or [_text(GO_ON)]
        if image and not (answers and answers[-1].is_screen):
            content.append(_image(image))
        if text:
            content.append(_text(text))
        self._add(content)

    def ask(self) -> Reply[Call]:
        """Return the model's next answer.

        Raises:
            BadReply: The API answered something that is not of it.
        """
        self._trim()
        headers = beta_headers(self._version)
        if self._options.temperature is not None:
            headers |= {"anthropic-version": SAMPLING_VERSION}
        request = Request(PATH, self._body(), join_message, headers=headers, streamed={"stream": True})
        message = self._api.ask(request)
        if not isinstance(message.get("content"), list):
            raise BadReply("the model's API answered a message without content")
        return self._read(message)

    def translate(self, call: Call, hand: Hand) -> Deed:
        """Return what a call comes to."""
        return translate(call, hand)

    def _add(self, content: list[Block]) -> None:
        if self._messages and self._messages[-1]["role"] == "user":
            self._messages[-1]["content"] += content
        else:
            self._messages.append({"role": "user", "content": content})

    def _trim(self) -> None:
        """Let go of the oldest screenshots, and of thoughts that follow a change.

        Newer models sign their thoughts together with all that came before them, and refuse them after another past.
        Models with a budget need theirs, and do not look.
        """
        changed = trim_images(
            self._messages, keep=self._options.images, is_image=_is_image, old=_text(OLD_SCREEN)
        )
        if changed is None or self._options.thinking_budget is not None:
            return
        for message in self._messages[changed:]:
            if message["role"] == "assistant":
                message["content"] = [block for block in message["content"] if not _is_thought(block)]

    def _body(self) -> dict[str, Any]:
        options = self._options
        body: dict[str, Any] = {
            "model": options.model,
            "max_tokens": options.max_tokens,
            "system": [_text(self._system) | {"cache_control": CACHED}],
            "tools": [tool_entry(self._version, self._size) | {"cache_control": CACHED}],
            "messages": _with_marks(self._messages),
        }
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.thinking_budget is not None:
            body["thinking"] = {"type": "enabled", "budget_tokens": options.thinking_budget}
        if options.effort is not None:
            body["output_config"] = {"effort": options.effort}
        return body

    def _read(self, message: dict[str, Any]) -> Reply[Call]:
        blocks = [block for block in message["content"] if isinstance(block, dict)]
        words = "\n".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
        calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
        usage, reason = _usage(message.get("usage")), message.get("stop_reason")
        if reason in AT_ONCE or (reason in ENDS and not calls):
            return Reply((), ENDS[reason] + words, usage, is_done=True)
        if any(not _is_thought(block) for block in blocks):  # thoughts alone are no answer to go on from
            self._messages.append({"role": "assistant", "content": blocks})
        self._cut_off = []
        if reason != "max_tokens":
            return Reply(calls, words, usage)
        # The last call may have lost its end, so none is carried out.
        self._cut_off = [_result(Answer(call, error=CUT_OFF)) for call in calls] or [_text(CUT_OFF)]
        return Reply((), words, usage)


def _call(block: Block) -> Call:
    name, toolset = block.get("name"), block.get("toolset_name")
    if not isinstance(block.get("id"), str) or not isinstance(name, str):
        raise BadReply("the model's API answered a tool_use without id or name")
    return Call(block["id"], name, toolset if isinstance(toolset, str) else None, block.get("input"))


def _result(answer: Answer[Call]) -> Block:
    """Return a tool_result; one that is an error holds nothing but text."""
    call = answer.call
    echoed = {"toolset_name": call.toolset} if call.toolset else {}
    result = {"type": "tool_result", "tool_use_id": call.id, **echoed}
    if answer.error is not None:
        return {**result, "is_error": True, "content": [_text(answer.error)]}
    content = _text(answer.deed.text) if answer.image is None else _image(answer.image)
    return {**result, "content": [content]}


def _with_marks(messages: list[Message]) -> list[Message]:
    """Return the conversation with marks where a cache may hold it."""
    marked = list(messages)
    turns = [index for index, message in enumerate(messages) if message["role"] == "user"]
    for index in turns[-CACHED_TURNS:]:
        marked[index] = copy.copy(messages[index])
        *before, last = messages[index]["content"]
        marked[index]["content"] = [*before, last | {"cache_control": CACHED}]
    return marked


def _usage(counts: Any) -> dict[str, int]:
    names = {
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "cache_read_tokens": "cache_read_input_tokens",
        "cache_write_tokens": "cache_creation_input_tokens",
    }
    return {"requests": 1} | {name: count(counts, theirs) for name, theirs in names.items()}


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _image(data: str) -> Block:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def _is_image(block: Block) -> bool:
    return block.get("type") == "image"


def _is_thought(block: Block) -> bool:
    return block.get("type") in ("thinking", "redacted_thinking")
