"""What every agent that asks a model does: show it the screen, carry out what it wants, tell it what became of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from gym_queue.benchmark.agents import images
from gym_queue.benchmark.agents.base import AgentTask, AgentTurn
from gym_queue.benchmark.agents.batch import Batch, screen_of, text_of
from gym_queue.benchmark.agents.hand import Hand
from gym_queue.benchmark.agents.modelapi import ModelApi
from gym_queue.benchmark.agents.modeloptions import ModelOptions
from gym_queue.benchmark.agents.prompt import first_words, seen_text
from gym_queue.benchmark.agents.talk import Talk
from gym_queue.benchmark.agents.vendor import Vendor
from gym_queue.errors import AgentFailed, RequestInvalid

C = TypeVar("C")
O = TypeVar("O", bound=ModelOptions)  # noqa: E741  one letter, as the other type variables
SHOWN = 300
"""Characters of a model's words that an error shows."""


class ModelAgent(ABC, Generic[O, C]):
    """One attempt of a model; a vendor's class says whose it is and how to talk with it.

    Args:
        options: What is asked, where, and how much of it.

    Raises:
        RequestInvalid: The vendor's package or the key is missing.
    """

    vendor: ClassVar[Vendor]
    preload: ClassVar[tuple[str, ...]] = ()
    """Modules that are imported once for all attempts of a run: the vendor's package takes more than a second."""
    wait_between_actions_s = 0.1  # people's programs need a moment between a click and what is typed next

    def __init__(self, options: O) -> None:
        self._options = options
        self._api = ModelApi(self.vendor, options)
        self._tokens: Counter[str] = Counter()

    @classmethod
    def check(cls, options: O) -> None:
        """See that the model can be asked at all.

        Raises:
            RequestInvalid: The package or the key is missing.
        """
        cls.vendor.check(options)

    @property
    def usage(self) -> dict[str, float]:
        """What the model has taken so far: requests, tokens by kind, and with prices what they cost."""
        cost = self._options.cost_usd(self._tokens)
        return {**self._tokens, **({} if cost is None else {"cost_usd": cost})}

    def start(self, task: AgentTask) -> None:
        """Get ready for a task."""
        options = self._options
        self._scale = images.fit(
            task.env.resolution, edge_px=options.max_image_edge_px, pixels=options.max_image_pixels
        )
        self._hand = Hand(self._scale)
        self._talk = self._open_talk(task, self._scale.sent)
        self._first: str | None = first_words(task)
        self._batch: Batch[C] = self._make_batch(())
        self._fruitless = 0
        self._said, self._is_done = "", False

    def act(self, observation: dict[str, Any], *, step: int) -> AgentTurn:  # noqa: ARG002  it has its own history
        """Show the model what there is, and return what it does about it."""
        png, text = screen_of(observation), text_of(observation)
        image = images.encode(png, self._scale) if png else None
        self._batch.see(png, image)
        if not self._batch.is_done:
            return self._turn("")
        self._tell(image, seen_text(text) if text else None)
        reply = self._talk.ask()
        self._tokens.update(reply.usage)
        self._batch, self._said, self._is_done = self._make_batch(reply.calls), reply.text, reply.is_done
        return self._turn(reply.text)

    def refused(self, error: RequestInvalid) -> None:
        """Take note that the environment refused the last turn's actions."""
        self._batch.refuse(str(error))

    def close(self) -> None:
        """Close the connection."""
        self._api.close()

    @abstractmethod
    def _open_talk(self, task: AgentTask, size: images.Size) -> Talk[C]:
        """Return a conversation about a task.

        Args:
            task: What the model is to do.
            size: width, height of screenshots as they are sent, in pixels.
        """

    def _tell(self, image: str | None, text: str | None) -> None:
        if self._first is None:
            self._see_that_it_gets_on()
            self._talk.answer(self._batch.answers, image, text)
            return
        self._talk.say("\n\n".join(filter(None, (self._first, text))), image)
        self._first = None

    def _see_that_it_gets_on(self) -> None:
        """Count answers of which nothing could be done.

        Raises:
            AgentFailed: There were too many in a row.
        """
        answers = self._batch.answers
        if any(answer.error is None for answer in answers):
            self._fruitless = 0
            return
        self._fruitless += 1
        if self._fruitless > self._options.max_corrections:
            why = next((answer.error for answer in answers if answer.error), None)
            last = why or self._said[:SHOWN] or "no words and no actions"
            raise AgentFailed(
                f"{self._options.model} gave {self._fruitless} answers in a row of which nothing could be done "
                f"(the last: {last}); max_corrections allows for {self._options.max_corrections}"
            )

    def _turn(self, note: str) -> AgentTurn:
        actions = self._batch.go_on()
        return AgentTurn(actions, done=self._is_done and self._batch.is_done, note=note)

    def _make_batch(self, calls: Sequence[C]) -> Batch[C]:
        return Batch(calls, lambda call: self._talk.translate(call, self._hand), self._scale)
