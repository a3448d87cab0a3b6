"""An agent that is an OpenAI model, or any model behind an API like OpenAI's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from gym_queue.benchmark.agents import images
from gym_queue.benchmark.agents.base import AgentTask, AgentTurn
from gym_queue.benchmark.agents.batch import Answer, Batch, screen_of, text_of
from gym_queue.benchmark.agents.hand import Hand
from gym_queue.benchmark.agents.modelapi import ModelApi, check_needs
from gym_queue.benchmark.agents.openai_actions import translate
from gym_queue.benchmark.agents.openai_chat import ChatTalk
from gym_queue.benchmark.agents.openai_options import Asked, OpenAIOptions, Reply
from gym_queue.benchmark.agents.openai_responses import ResponsesTalk
from gym_queue.benchmark.agents.prompt import first_words, seen_text, system_prompt
from gym_queue.errors import RequestInvalid

PACKAGE, KEY = "openai", "OPENAI_API_KEY"


class Talk(Protocol):
    """One attempt's conversation with a model."""

    def say(self, text: str, image: str | None = None) -> None:
        """Add words of the user, and a screenshot as base64 PNG."""

    def answer(self, answers: list[Answer[Asked]], image: str | None, text: str | None) -> None:
        """Add what became of the last calls, and what is there now."""

    def ask(self) -> Reply:
        """Return the model's next answer."""


class OpenAIAgent:
    """An OpenAI model by the computer-use tool, or any model with vision behind chat completions such as vLLM's."""

    Options = OpenAIOptions
    wait_between_actions_s = 0.1  # people's programs need a moment between a click and what is typed next
    needs: ClassVar[str] = f"pip install 'gym-queue[agents]', and {KEY}"

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        self._api = ModelApi(PACKAGE, "OpenAI", options, key_variable=KEY)
        self._usage: Counter[str] = Counter()

    @staticmethod
    def check(options: OpenAIOptions) -> None:
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
        self._talk = self._make_talk(task)
        self._first: str | None = first_words(task)
        self._batch: Batch[Asked] = self._make_batch(())
        self._is_done = False

    def act(self, observation: dict[str, Any], *, step: int) -> AgentTurn:  # noqa: ARG002  it has its own history
        """Show the model what there is, and return what it does about it."""
        png, text = screen_of(observation), text_of(observation)
        image = images.encode(png, self._scale) if png else None
        self._batch.see(png, image)
        if not self._batch.is_done:
            return self._turn("")
        seen = seen_text(text) if text else None
        if self._first is not None:
            self._talk.say("\n\n".join(filter(None, (self._first, seen))), image)
            self._first = None
        else:
            self._talk.answer(self._batch.answers, image, seen)
        reply = self._talk.ask()
        self._usage.update(reply.usage)
        self._batch, self._is_done = self._make_batch(reply.calls), reply.is_done
        return self._turn(reply.text)

    def refused(self, error: RequestInvalid) -> None:
        """Take note that the environment refused the last turn's actions."""
        self._batch.refuse(str(error))

    def close(self) -> None:
        """Close the connection."""
        self._api.close()

    def _turn(self, note: str) -> AgentTurn:
        actions = self._batch.go_on()
        return AgentTurn(actions, done=self._is_done and self._batch.is_done, note=note)

    def _make_talk(self, task: AgentTask) -> Talk:
        system = system_prompt(task, self._options.system)
        if self._options.mode == "chat":
            return ChatTalk(self._api, self._options, system=system)
        return ResponsesTalk(
            self._api,
            self._options,
            system=system,
            size=self._scale.sent,
            os_type=task.env.os_type or "linux",
        )

    def _make_batch(self, calls: Sequence[Asked]) -> Batch[Asked]:
        return Batch(calls, lambda call: translate(call.action, self._hand), self._scale)
