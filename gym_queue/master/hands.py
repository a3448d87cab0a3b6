"""Mailboxes between people at the dashboard and the agents that carry out what they do; gone with this process."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gym_queue.errors import Conflict, EnvState, GymQueueError, QuotaExceeded, TooLarge
from gym_queue.protocol.hand import HandAsk, HandInput, HandPlaced, HandTold, HandView, Listens

INPUTS = 100
"""That wait in one mailbox."""
INPUT_BYTES = 256 << 10
BYTES = 16 << 20
"""Of all inputs together."""
BOXES = 1000
AGE_S = 900.0
"""An input that nobody took for so long is dropped; an agent that is busy for so long has gone."""
GRACE_S = 5.0
"""From one call of an agent that waits to its next."""
LOOK_S = 1.0
"""How often an agent that waits is told that its environment has gone."""

Check = Callable[[str], object]
"""Raises when the environment of an id is not there."""


@dataclass(slots=True)
class _Kept:
    """An input that is not carried out yet."""

    what: HandInput
    size_bytes: int
    at: float


@dataclass(slots=True)
class _Box:
    """One environment's mailbox."""

    heard_at: float
    """When its agent last asked."""
    told: HandTold | None = None
    inputs: deque[_Kept] = field(default_factory=deque)
    seen: deque[str] = field(default_factory=lambda: deque(maxlen=INPUTS))
    """The latest inputs, so that none is carried out twice."""
    taken_at: float | None = None
    """When the first input was given to the agent; None when it was not."""
    turn: int = 0
    """Grows with each call of the agent: the latest one alone is answered."""
    waiters: int = 0
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def size_bytes(self) -> int:
        return sum(each.size_bytes for each in self.inputs)

    def drop_first(self) -> None:
        self.inputs.popleft()
        self.taken_at = None

    def expire(self, now: float) -> None:
        while self.inputs and now - self.inputs[0].at > AGE_S:
            self.drop_first()

    def listens(self, now: float) -> Listens:
        if self.taken_at is not None:
            return "busy"
        return "waits" if self.waiters or now - self.heard_at < GRACE_S else "nobody"


class Hands:
    """One mailbox for each environment whose agent asks for input. Lives on the master's loop.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._boxes: dict[str, _Box] = {}
        self._is_stopping = False

    def show(self, env_id: str, check: Check) -> HandView:
        """Return what there is to know of an environment's mailbox."""
        box, now = self._find(env_id, check), self._clock()
        if box is None:
            return HandView(listens="nobody", waiting=[], told=None)
        waiting = [each.what.id for each in box.inputs]
        return HandView(listens=box.listens(now), waiting=waiting, told=box.told)

    def put(self, env_id: str, given: HandInput, check: Check) -> HandPlaced:
        """Put an input last; one that is known by its id is not put again.

        Raises:
            EnvState: No agent asks for input.
            Conflict: Too many inputs wait.
            TooLarge: It is too large.
            QuotaExceeded: Those of all environments are.
        """
        box, now = self._find(env_id, check), self._clock()
        if box is None or box.listens(now) == "nobody":
            raise EnvState(
                f"nobody waits for input to environment {env_id}: run a HumanAgent on it (gym-anything benchmark .. --agent HumanAgent --remote-url ..)"
            )
        if given.id not in box.seen:
            self._add(box, given, now)
        position = next((at for at, each in enumerate(box.inputs) if each.what.id == given.id), 0)
        return HandPlaced(position=position, listens=box.listens(now))

    async def take(self, env_id: str, ask: HandAsk, check: Check) -> HandInput | None:
        """Return the next input once there is one; None when there was none in time, or another call asks now.

        Raises:
            QuotaExceeded: Too many environments have a mailbox.
            GymQueueError: What ``check`` raises, also in the middle of the wait.
        """
        box = self._find(env_id, check) or self._open(env_id, check)
        until = self._hear(box, ask) + ask.wait_s
        turn = box.turn
        box.waiters += 1
        try:
            while not self._is_stopping and box.turn == turn:
                if box.inputs:
                    box.taken_at = self._clock()
                    return box.inputs[0].what
                if (left_s := until - self._clock()) <= 0:
                    break
                await _sleep(box, min(left_s, LOOK_S))
                self._find(env_id, check)
        finally:
            box.waiters -= 1
            box.heard_at = self._clock()
        return None

    def stop(self) -> None:
        """Answer all who wait: a server waits for them before it ends."""
        self._is_stopping = True
        for box in self._boxes.values():
            box.woken.set()

    def _hear(self, box: _Box, ask: HandAsk) -> float:
        """Take note of what an agent says; return the time."""
        now = box.heard_at = self._clock()
        if box.inputs and ask.took == box.inputs[0].what.id:
            box.drop_first()
        box.told = ask.told or box.told
        box.turn += 1
        box.woken.set()  # the call before this one ends
        return now

    def _add(self, box: _Box, given: HandInput, now: float) -> None:
        size_bytes = len(given.model_dump_json())
        if size_bytes > INPUT_BYTES:
            raise TooLarge(
                f"the input has {size_bytes} bytes, {INPUT_BYTES >> 10} KiB are allowed: send it in parts"
            )
        if len(box.inputs) >= INPUTS:
            raise Conflict(f"{INPUTS} inputs wait already: let the agent carry out some of them first")
        if size_bytes + sum(each.size_bytes for each in self._boxes.values()) > BYTES:
            raise QuotaExceeded(
                f"the inputs that wait have {BYTES >> 20} MiB, as much as a master keeps: send it again later",
                {"retry_after_s": 5},
            )
        box.inputs.append(_Kept(given, size_bytes, now))
        box.seen.append(given.id)
        box.woken.set()

    def _open(self, env_id: str, check: Check) -> _Box:
        for each in [*self._boxes] if len(self._boxes) >= BOXES else ():
            if not _is_there(each, check):
                del self._boxes[each]
        if len(self._boxes) >= BOXES:
            raise QuotaExceeded(
                f"{BOXES} environments are driven by people already, as many as a master allows: close some",
                {"retry_after_s": 10},
            )
        return self._boxes.setdefault(env_id, _Box(self._clock()))

    def _find(self, env_id: str, check: Check) -> _Box | None:
        """Return an environment's mailbox; None when its agent never asked. Nothing stays of one that has gone."""
        try:
            check(env_id)
        except GymQueueError:
            self._boxes.pop(env_id, None)
            raise
        box, now = self._boxes.get(env_id), self._clock()
        if box is not None:
            box.expire(now)
        return box


def _is_there(env_id: str, check: Check) -> bool:
    try:
        check(env_id)
    except GymQueueError:
        return False
    return True


async def _sleep(box: _Box, seconds: float) -> None:
    """Wait for what happens to a mailbox, or so long."""
    box.woken.clear()
    try:
        async with asyncio.timeout(seconds):
            await box.woken.wait()
    except TimeoutError:
        return
