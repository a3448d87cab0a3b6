"""A conversation by OpenAI's Responses API and its computer-use tool; the API keeps its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gym_queue.benchmark.agents.batch import Answer, Deed
from gym_queue.benchmark.agents.hand import Hand
from gym_queue.benchmark.agents.images import Size
from gym_queue.benchmark.agents.modelapi import ModelApi, Request
from gym_queue.benchmark.agents.openai_actions import translate
from gym_queue.benchmark.agents.openai_options import Asked, OpenAIOptions, tokens
from gym_queue.benchmark.agents.openai_stream import join_response
from gym_queue.benchmark.agents.prompt import CUT_OFF, GO_ON
from gym_queue.benchmark.agents.talk import Reply
from gym_queue.errors import AgentFailed, BadReply, GymQueueError, ModelUnreachable

PATH = "/responses"
PREVIEW = "computer-use-preview"
"""Models whose name begins like this know the older tool alone."""
OVERLOAD = ("server_error", "rate_limit_exceeded")
"""What a response failed of that another try may not."""
BLANK = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
"""The screen of an environment without one, as PNG: a call cannot be answered without a screenshot."""


@dataclass(slots=True)
class _Open:
    """A call that waits for its answer."""

    call_id: str
    checks: list[dict[str, Any]] = field(default_factory=list)


class ResponsesTalk:
    """One attempt's conversation.

    Args:
        api: The API.
        options: What to ask it.
        system: What the model is told first.
        size: width, height of screenshots, in pixels.
        os_type: Of the environment.
    """

    def __init__(
        self, api: ModelApi, options: OpenAIOptions, *, system: str, size: Size, os_type: str
    ) -> None:
        self._api, self._options, self._system = api, options, system
        self._tool = _tool(options.model, size, os_type)
        self._input: list[dict[str, Any]] = []
        self._last_id: str | None = None
        self._open: list[_Open] = []
        self._allowed: list[str] = []

    def say(self, text: str, image: str | None = None) -> None:
        """Add words of the user, and a screenshot, to what is asked next."""
        content = [{"type": "input_text", "text": text}]
        if image is not None:
            content.append({"type": "input_image", "image_url": _url(image), "detail": "auto"})
        self._input.append({"role": "user", "content": content})

    def answer(self, answers: Sequence[Answer[Asked]], image: str | None, text: str | None) -> None:
        """Add what became of the last calls; each is answered by the screen as it is now."""
        for call in self._open:
            output = {"type": "computer_screenshot", "image_url": _url(image or BLANK)}
            acknowledged = {"acknowledged_safety_checks": call.checks} if call.checks else {}
            self._input.append(
                {"type": "computer_call_output", "call_id": call.call_id, "output": output, **acknowledged}
            )
        failed = [f"{each.call.name}: {each.error}" for each in answers if each.error]
        words = [*(f"An action failed: {each}" for each in failed), *([text] if text else [])]
        if words:
            self.say("\n\n".join(words))
        elif not self._open:
            self.say(GO_ON, image)
        self._open = []

    def ask(self) -> Reply[Asked]:
        """Return the model's next answer.

        Raises:
            AgentFailed: The model failed to answer, or asks for a safety check that nobody allowed.
            ModelUnreachable: The API failed to answer.
            BadReply: It answered something that is not of its API.
        """
        content = self._api.ask(
            Request(PATH, self._body(), join_response, headers={}, streamed={"stream": True})
        )
        output = content.get("output")
        if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
            raise BadReply("the model's API answered a response without output")
        if content.get("status") == "failed":
            raise _failure(content.get("error"))
        self._input, self._last_id = [], content.get("id")
        return self._read(content, output)

    def translate(self, call: Asked, hand: Hand) -> Deed:
        """Return what a call comes to."""
        return translate(call.action, hand)

    def _read(self, content: dict[str, Any], output: list[dict[str, Any]]) -> Reply[Asked]:
        calls: list[Asked] = []
        self._allowed = []
        for item in output:
            if item.get("type") == "computer_call":
                calls += self._take(item)
        is_cut_off = content.get("status") == "incomplete" and not self._open
        if is_cut_off:
            self.say(CUT_OFF)
        words = "\n".join([*_words(output), *self._allowed])
        usage = tokens(content.get("usage"), read="input_tokens", written="output_tokens")
        return Reply(calls, words, usage, is_done=not (self._open or is_cut_off))

    def _take(self, item: dict[str, Any]) -> list[Asked]:
        """Return a call's actions, and remember that it waits for its answer."""
        call_id = item.get("call_id")
        if not isinstance(call_id, str):
            raise BadReply("the model's API answered a computer_call without call_id")
        checks = list(item.get("pending_safety_checks") or [])
        if checks:
            self._see_to(checks)
        self._open.append(_Open(call_id, checks))
        actions = item.get("actions") or [item.get("action")]
        return [Asked(_kind(action), action, call_id) for action in actions]

    def _see_to(self, checks: list[dict[str, Any]]) -> None:
        said = "; ".join(str(check.get("message") or check.get("code")) for check in checks)
        if not self._options.acknowledge_safety_checks:
            raise AgentFailed(
                f"the model's API asks for a safety check ({said}): give acknowledge_safety_checks=true to go on after such"
            )
        self._allowed.append(f"(Safety check acknowledged: {said})")

    def _body(self) -> dict[str, Any]:
        options = self._options
        body: dict[str, Any] = {
            "model": options.model,
            "instructions": self._system,
            "tools": [self._tool],
            "input": self._input,
            "truncation": "auto",
            "max_output_tokens": options.max_tokens,
        }
        if self._last_id is not None:
            body["previous_response_id"] = self._last_id
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.effort is not None:
            body["reasoning"] = {"effort": options.effort}
        return body


def _tool(model: str, size: Size, os_type: str) -> dict[str, Any]:
    if not model.startswith(PREVIEW):
        return {"type": "computer"}
    width, height = size
    place = "windows" if os_type == "windows" else "linux"
    return {
        "type": "computer_use_preview",
        "display_width": width,
        "display_height": height,
        "environment": place,
    }


def _words(output: list[dict[str, Any]]) -> list[str]:
    parts = [part for item in output if item.get("type") == "message" for part in item.get("content") or ()]
    return [str(part.get("text") or part.get("refusal") or "") for part in parts]


def _failure(error: Any) -> GymQueueError:
    said = error if isinstance(error, dict) else {}
    words = f"the model failed to answer ({said.get('code')}: {said.get('message')})"
    return ModelUnreachable(f"{words}; try later") if said.get("code") in OVERLOAD else AgentFailed(words)


def _kind(action: Any) -> str:
    return str(action.get("type")) if isinstance(action, dict) else "action"


def _url(image: str) -> str:
    return f"data:image/png;base64,{image}"
