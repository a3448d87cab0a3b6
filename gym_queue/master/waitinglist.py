"""The creates that have not been answered, in their order; each is written down."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict

from pydantic import ValidationError

from gym_queue.errors import RequestInvalid
from gym_queue.master.facts import CREATE, CreateFact, NoNotes, Notes, SentTo
from gym_queue.master.fairshare import Order, by_arrival
from gym_queue.master.placement import Placement, need_of
from gym_queue.master.waiting import Waiting
from gym_queue.protocol.sessions import CreateReply, CreateRequest
from gym_queue.stats.latency import Histogram

logger = logging.getLogger(__name__)


class WaitingList:
    """Creates by environment id. Lives on the master's loop.

    Args:
        notes: Where they are written down.
        clock: Monotonic seconds.
        wall: Unix seconds.
        order: Says who is served first.
    """

    def __init__(
        self,
        notes: Notes | None,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        order: Order = by_arrival,
    ) -> None:
        self._notes = notes or NoNotes()
        self._clock, self._wall, self._order = clock, wall, order
        self._creates: dict[str, Waiting] = {}
        self._arrivals = itertools.count()
        self.outcomes: Counter[str] = Counter()
        """How those that were let go had ended: created, given_up, or their error's code."""
        self.took, self.queued = Histogram(), Histogram()
        """Of those that were created: from being asked for to their answer, and until they were last sent."""
        self.version = 0
        """Grows when one comes, goes, or is sent."""

    def add(self, request: CreateRequest, digest: str) -> Waiting:
        """Take in a create, behind those of its priority.

        Raises:
            RequestInvalid: It asks for more than any machine has.
        """
        order = (-request.priority, next(self._arrivals))
        waiting = Waiting(request, need_of(request), digest, order, self._clock(), _answer())
        self._creates[waiting.env_id] = waiting
        self.version += 1
        self._note(waiting)
        return waiting

    def get(self, env_id: str) -> Waiting | None:
        """Return a create."""
        return self._creates.get(env_id)

    def drop(self, env_id: str) -> None:
        """Let a create go: it is answered, or nobody wants it."""
        waiting = self._creates.pop(env_id, None)
        if waiting is not None:
            self.version += 1
            self._count(waiting)
            self._notes.note(CREATE, env_id, None)

    def forget(self, env_id: str) -> None:
        """Leave a create out of what the next master takes over."""
        self._notes.note(CREATE, env_id, None)

    def place(self, waiting: Waiting, placement: Placement | None, process: int | None = None) -> None:
        """Note where a create is on its way to; None: it waits again."""
        waiting.placement, waiting.is_given_up = placement, False
        self.version += 1
        if placement is not None:
            waiting.process, waiting.sent = process, self._clock()
        if waiting.env_id in self._creates:
            self._note(waiting)

    def queue(self) -> list[Waiting]:
        """Return those that wait for a slot, first to be served first."""
        return self._order(self.unplaced())

    def all(self) -> list[Waiting]:
        """Return those that wait, and those on their way."""
        return list(self._creates.values())

    def unplaced(self) -> list[Waiting]:
        """Return those that wait for a slot, in no order that matters: cheaper than ``queue``."""
        return [waiting for waiting in self._creates.values() if waiting.placement is None]

    def freeze(self) -> None:
        """Write nothing down any more: the next master takes over what is left."""
        self._notes = NoNotes()

    def restore(
        self, facts: Mapping[str, Mapping[str, str]], *, wanted_until: float
    ) -> list[tuple[Waiting, Placement | None]]:
        """Take back what an earlier master wrote down; return each create with where it was sent.

        Args:
            facts: What was written down.
            wanted_until: Until when each waits for its client to ask again, on the clock.
        """
        found: list[tuple[Waiting, Placement | None]] = []
        for env_id, text in facts.get(CREATE, {}).items():
            try:
                fact = CreateFact.model_validate_json(text)
                waiting = self._waiting_of(fact)
            except (ValidationError, RequestInvalid) as error:
                logger.warning(
                    "the create of environment %s, of another version, is dropped: %s", env_id, error
                )
                self._notes.note(CREATE, env_id, None)
                continue
            waiting.wanted_until = wanted_until
            self._creates[waiting.env_id] = waiting
            sent_to = fact.sent_to
            found.append((waiting, None if sent_to is None else Placement(**sent_to.model_dump())))
        found.sort(key=lambda pair: pair[0].order)
        self._arrivals = itertools.count(max((w.order[1] for w, _ in found), default=-1) + 1)
        return found

    def _count(self, waiting: Waiting) -> None:
        self.outcomes[waiting.outcome] += 1
        if waiting.outcome == "created" and waiting.sent is not None:
            self.took.add(self._clock() - waiting.since)
            self.queued.add(waiting.sent - waiting.since)

    def _waiting_of(self, fact: CreateFact) -> Waiting:
        since = self._clock() - max(self._wall() - fact.since, 0.0)
        return Waiting(fact.request, need_of(fact.request), fact.digest, fact.order, since, _answer())

    def _note(self, waiting: Waiting) -> None:
        placement = waiting.placement
        fact = CreateFact(
            request=waiting.request,
            digest=waiting.digest,
            order=waiting.order,
            since=self._wall() - (self._clock() - waiting.since),
            sent_to=None if placement is None else SentTo(**asdict(placement)),
        )
        self._notes.note(CREATE, waiting.env_id, fact.model_dump_json())


def _answer() -> asyncio.Future[CreateReply]:
    return asyncio.get_running_loop().create_future()
