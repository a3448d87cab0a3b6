"""An agent that is a Claude model, by Anthropic's computer-use tool."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from gym_queue.benchmark.agents import images
from gym_queue.benchmark.agents.base import AgentTask, AgentTurn
from gym_queue.benchmark.agents.batch import Answer, Batch, screen_of, text_of
from gym_queue.benchmark.agents.claude_tool import (
    Call,
    ToolVersion,
    beta_headers,
    tool_entry,
    translate,
    version_for,
)
from gym_queue.benchmark.agents.hand import Hand
from gym_queue.benchmark.agents.history import OLD_SCREEN, Block, Message, trim_images
from gym_queue.benchmark.agents.modelapi import ModelApi, ModelOptions, check_needs, count
from gym_queue.benchmark.agents.prompt import CUT_OFF, GO_ON, first_words, seen_text, system_prompt
from gym_queue.errors import BadReply, RequestInvalid

PACKAGE, KEY = "anthropic", "ANTHROPIC_API_KEY"
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


class ClaudeOptions(ModelOptions):
    """Options of the Claude agent."""

    tool: ToolVersion | None = None
    """Version of the computer-use tool; none takes the newest that the model knows."""
    thinking_budget: int | None = Field(None, ge=1024)
    """Tokens to think with, of models that take a budget; newer ones think as ``effort`` says."""
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    """How hard to think, of models that take it; none leaves it to the model."""

    @model_validator(mode="after")
    def _budget_is_within_the_answer(self) -> ClaudeOptions:
        if self.thinking_budget is not None and self.thinking_budget >= self.max_tokens:
            raise ValueError("thinking_budget must be less than max_tokens")
        return self


class ClaudeAgent:
    """A Claude model that sees the screen and uses mouse and keyboard by Anthropic's computer-use tool."""

    Options = ClaudeOptions
    wait_between_actions_s = 0.1  # people's programs need a moment between a click and what is typed next
    needs: ClassVar[str] = f"pip install 'gym-queue[agents]', and {KEY}"

    def __init__(self, options: ClaudeOptions) -> None:
        self._options = options
        self._version = options.tool or version_for(options.model)
        self._api = ModelApi(PACKAGE, "Anthropic", options, key_variable=KEY)
        self._messages: list[Message] = []
        self._was_cut_off = False
        self._usage: Counter[str] = Counter()

    @staticmethod
    def check(options: ClaudeOptions) -> None:
        """See that the model can be asked at all.

        Raises:
            RequestInvalid: The package or the key is missing.
        """
        check_needs(PACKAGE, options, key_variable=KEY)

    @property
    def usage(self) -> dict[str, int]:
        """What the model has taken so far: requests, and tokens by kind."""
        return dict(self._usage)

    def start(self, task: AgentTask) -> None:
        """Get ready for a task."""
        options = self._options
        self._scale = images.fit(
            task.env.resolution, edge_px=options.max_image_edge_px, pixels=options.max_image_pixels
        )
        self._hand = Hand(self._scale)
        self._system = system_prompt(task, options.system)
        self._messages = [{"role": "user", "content": [_text(first_words(task))]}]
        self._batch: Batch[Call] = self._make_batch(())

    def act(self, observation: dict[str, Any], *, step: int) -> AgentTurn:
        """Show the model what there is, and return what it does about it."""
        png = screen_of(observation)
        image = images.encode(png, self._scale) if png else None
        self._batch.see(png, image)
        if not self._batch.is_done:
            return AgentTurn(self._batch.go_on())
        self._tell(image, text_of(observation), is_first=step == 0)
        reply = self._ask()
        return self._take(reply)

    def refused(self, error: RequestInvalid) -> None:
        """Take note that the environment refused the last turn's actions."""
        self._batch.refuse(str(error))

    def close(self) -> None:
        """Close the connection."""
        self._api.close()

    def _make_batch(self, calls: Sequence[Call]) -> Batch[Call]:
        return Batch(calls, lambda call: translate(call, self._hand), self._scale)

    def _tell(self, image: str | None, text: str | None, *, is_first: bool) -> None:
        """Add the answers to the last calls, and what is there now, to the conversation."""
        answers = self._batch.answers
        content = [_result(answer) for answer in answers]
        if image and not (answers and answers[-1].is_screen):
            content.append(_image(image))
        if text:
            content.append(_text(seen_text(text)))
        if not answers and not is_first:
            content.insert(0, _text(CUT_OFF if self._was_cut_off else GO_ON))
        if self._messages[-1]["role"] == "user":
            self._messages[-1]["content"] += content
        else:
            self._messages.append({"role": "user", "content": content or [_text(GO_ON)]})

    def _ask(self) -> dict[str, Any]:
        self._trim()
        headers = beta_headers(self._version)
        if self._options.temperature is not None:
            headers |= {"anthropic-version": SAMPLING_VERSION}
        reply = self._api.ask(PATH, self._body(), headers)
        if not isinstance(reply.get("content"), list):
            raise BadReply("the model's API answered a message without content")
        self._usage.update(_usage(reply.get("usage") or {}))
        return reply

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
            "tools": [tool_entry(self._version, self._scale.sent) | {"cache_control": CACHED}],
            "messages": _with_marks(self._messages),
        }
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.thinking_budget is not None:
            body["thinking"] = {"type": "enabled", "budget_tokens": options.thinking_budget}
        if options.effort is not None:
            body["output_config"] = {"effort": options.effort}
        return body

    def _take(self, reply: dict[str, Any]) -> AgentTurn:
        """Return the turn that the model's message comes to."""
        blocks = [block for block in reply["content"] if isinstance(block, dict)]
        note = "\n".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
        calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
        reason = reply.get("stop_reason")
        if not calls and reason in ENDS:
            return AgentTurn(done=True, note=ENDS[reason] + note)
        if reason in ("refusal", "model_context_window_exceeded"):
            return AgentTurn(done=True, note=ENDS[reason] + note)
        if any(not _is_thought(block) for block in blocks):  # thoughts alone are no answer to go on from
            self._messages.append({"role": "assistant", "content": blocks})
        self._batch = self._make_batch(calls)
        self._was_cut_off = reason == "max_tokens"
        if self._was_cut_off:  # the last call may have lost its end
            self._batch.cut_off(CUT_OFF)
            return AgentTurn(note=note)
        return AgentTurn(self._batch.go_on(), note=note)


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


def _usage(counts: dict[str, Any]) -> dict[str, int]:
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
