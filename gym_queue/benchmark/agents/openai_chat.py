"""A conversation by plain chat completions with vision: a function for each action, or JSON in the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from gym_queue.benchmark.agents.batch import Answer, Deed
from gym_queue.benchmark.agents.hand import Hand
from gym_queue.benchmark.agents.history import OLD_SCREEN, Block, Message, trim_images
from gym_queue.benchmark.agents.modelapi import ModelApi, Request
from gym_queue.benchmark.agents.openai_actions import KINDS, name_of, translate
from gym_queue.benchmark.agents.openai_options import Asked, OpenAIOptions, tokens
from gym_queue.benchmark.agents.openai_stream import join_completion
from gym_queue.benchmark.agents.prompt import CUT_OFF
from gym_queue.benchmark.agents.talk import Reply
from gym_queue.errors import BadReply

PATH = "/chat/completions"
DONE = "done"
HINT = (
    'Act by the tools. A model without tools answers with JSON alone: {"action": "click", "x": 10, "y": 20}, or a list '
    'of such; the actions are the tools\' names, with their arguments. {"action": "done"} ends the task.'
)
NO_ACTION = "That JSON holds no action: " + HINT
EMPTY = "Your answer was empty. " + HINT
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
_THOUGHT = "</think>"
"""Ends the thoughts of models whose server leaves them in the text; they may draft actions that are not meant."""
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


class ChatTalk:
    """One attempt's conversation.

    Args:
        api: The API.
        options: What to ask it.
        system: What the model is told first.
    """

    def __init__(self, api: ModelApi, options: OpenAIOptions, *, system: str) -> None:
        self._api, self._options = api, options
        self._messages: list[Message] = [{"role": "system", "content": f"{system}\n\n{HINT}"}]

    def say(self, text: str, image: str | None = None) -> None:
        """Add words of the user, and a screenshot, to the conversation."""
        content: list[Block] = [{"type": "text", "text": text}]
        if image is not None:
            content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}})
        self._messages.append({"role": "user", "content": content})

    def answer(self, answers: Sequence[Answer[Asked]], image: str | None, text: str | None) -> None:
        """Add what became of the last calls, and what is there now; a tool's answer cannot hold an image."""
        words = [] if text is None else [text]
        for each in answers:
            result = f"Error: {each.error}" if each.error else "OK"
            if each.call.call_id is None:
                words.append(f"{each.call.name}: {result}")
            else:
                self._messages.append({"role": "tool", "tool_call_id": each.call.call_id, "content": result})
        self.say("\n\n".join(["The screen now.", *words]), image)

    def ask(self) -> Reply[Asked]:
        """Return the model's next answer.

        Raises:
            BadReply: The API answered something that is not of it.
        """
        trim_images(
            self._messages,
            keep=self._options.images,
            is_image=lambda block: block.get("type") == "image_url",
            old={"type": "text", "text": OLD_SCREEN},
        )
        content = self._api.ask(Request(PATH, self._body(), join_completion, headers={}, streamed=STREAMED))
        try:
            choice = content["choices"][0]
            message = choice["message"]
            calls = list(message.get("tool_calls") or ())
            reason, text = (
                choice.get("finish_reason"),
                str(message.get("content") or message.get("refusal") or ""),
            )
            asked = [_read_call(call) for call in calls]
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise BadReply(f"the model's API answered no chat completion: {error!r}") from None
        self._keep(text, calls)
        usage = tokens(content.get("usage"), read="prompt_tokens", written="completion_tokens")
        return self._reply(asked, text, reason, usage)

    def translate(self, call: Asked, hand: Hand) -> Deed:
        """Return what a call comes to."""
        return translate(call.action, hand)

    def _keep(self, text: str, calls: list[dict[str, Any]]) -> None:
        said: Message = {"role": "assistant", "content": text or (None if calls else "(nothing)")}
        self._messages.append(said | ({"tool_calls": calls} if calls else {}))

    def _reply(self, asked: list[Asked], text: str, reason: Any, usage: dict[str, int]) -> Reply[Asked]:
        if reason == "length":  # its last call may have lost its end
            for call in asked:
                self._messages.append(
                    {"role": "tool", "tool_call_id": call.call_id, "content": f"Error: {CUT_OFF}"}
                )
            self.say(CUT_OFF)
            return Reply((), text, usage)
        if not asked and reason != "content_filter":
            said = text.rpartition(_THOUGHT)[2]
            found = find_actions(said)
            if not said.strip() or found == []:
                self.say(EMPTY if found is None else NO_ACTION)
                return Reply((), text, usage)
            asked = found or []
        ends = next((index for index, call in enumerate(asked) if call.name == DONE), len(asked))
        return Reply(asked[:ends], text, usage, is_done=ends < len(asked) or not asked)

    def _body(self) -> dict[str, Any]:
        options = self._options
        body: dict[str, Any] = {
            "model": options.model,
            "messages": self._messages,
            "tools": list(_tools()),
            "max_tokens": options.max_tokens,
        }
        if options.base_url is None:  # its own newer models refuse the name that everybody else knows
            body["max_completion_tokens"] = body.pop("max_tokens")
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.effort is not None:
            body["reasoning_effort"] = options.effort
        return body


def find_actions(text: str) -> list[Asked] | None:
    """Return the actions that a text holds as JSON, fenced or bare, among other words or alone.

    Returns:
        None when the text holds no JSON object at all; nothing but words ends a task.
    """
    candidates = [*_FENCE.findall(text), text]
    values = next((found for each in candidates if (found := list(_values(each)))), None)
    if values is None:
        return None
    items = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return [asked for item in items if (asked := _read_item(item)) is not None]


def _values(text: str) -> Iterator[Any]:
    """Yield the JSON objects, and lists of objects, that stand in a text."""
    decoder, at = json.JSONDecoder(), 0
    while match := re.compile(r"[{\[]").search(text, at):
        try:
            value, at = decoder.raw_decode(text, match.start())
        except ValueError:
            at = match.start() + 1
            continue
        if isinstance(value, dict) or (value and all(isinstance(item, dict) for item in value)):
            yield value


def _read_item(item: dict[str, Any]) -> Asked | None:
    for key in ("action", "name", "type"):
        name = item.get(key)
        if isinstance(name, str):
            inner = next((item[each] for each in ("arguments", "args", "input") if each in item), None)
            rest = {field: value for field, value in item.items() if field != key}
            return _asked(name, rest if inner is None else inner, None)
    inner = item.get("action")
    return _read_item(inner) if isinstance(inner, dict) else None


def _read_call(call: dict[str, Any]) -> Asked:
    function = call["function"]
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError:
            arguments = f"not JSON: {arguments[:200]}"
    return _asked(str(function["name"]), arguments, str(call["id"]))


def _asked(name: str, arguments: Any, call_id: str | None) -> Asked:
    action = arguments | {"type": name} if isinstance(arguments, dict) else arguments
    return Asked(name, action, call_id)


def _tools() -> Iterator[dict[str, Any]]:
    for kind in KINDS:
        schema = kind.model_json_schema()
        schema["properties"].pop("type")
        schema["required"] = [name for name in schema.get("required", ()) if name != "type"]
        description = schema.pop("description", "")
        function = {"name": name_of(kind), "description": description, "parameters": schema}
        yield {"type": "function", "function": function}
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}
    what = "End the task: it is done, or cannot be done."
    yield {"type": "function", "function": {"name": DONE, "description": what, "parameters": nothing}}
