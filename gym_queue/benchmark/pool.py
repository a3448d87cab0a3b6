"""Several attempts at once, each in a process of its own, and a clean end when they are interrupted."""

from __future__ import annotations

import logging
import os
import selectors
import shutil
import sys
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gym_queue.benchmark.attempt import Attempt, AttemptError, Key, Outcome
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.events import Dropped, Ended, OnEvent, Passing, Said, Started, Stepped
from gym_queue.benchmark.interrupts import held_interrupts
from gym_queue.benchmark.loops import LoopView
from gym_queue.benchmark.messages import Boot, Cancel, Closing, FromLoop, Job, Result, Step, Stop, Told, Turn
from gym_queue.benchmark.nursery import LoopEnd, Nursery
from gym_queue.benchmark.output import attempt_folder
from gym_queue.benchmark.plan import PlannedEnv
from gym_queue.benchmark.recorder import write_verdict
from gym_queue.benchmark.tries import Tries
from gym_queue.benchmark.watch import MasterWatch
from gym_queue.errors import Cancelled, GymQueueError, MasterUnreachable
from gym_queue.runners.registry import remove_orphans

logger = logging.getLogger(__name__)

TICK_S = 0.25
"""How often deadlines and the master's silence are looked at."""
CANCEL_TIMEOUT_S = 35.0
"""Longest that a cancelled run waits for its loops: longer than one of them waits for its environment to close."""
END_TIMEOUT_S = 5.0
KILLED = -9
LOGGERS = ("", "gym_queue")
"""Loops log what the run does."""


@dataclass(frozen=True, slots=True)
class PoolSetup:
    """What a pool works with."""

    config: BenchmarkConfig
    envs: Mapping[str, PlannedEnv]
    """By the names that keys have."""
    nursery: Nursery
    folder: Path | None = None
    keep: Callable[[Attempt], None] = lambda _: None
    """Called with each attempt that ended, before anything else hears of it."""
    watch: MasterWatch | None = None
    close_env: Callable[[str], None] | None = None
    """Closes a remote environment by its id."""
    turn_timeout_s: float = 0.0
    """Longest that code of an agent may run; 0 is for ever."""
    clock: Callable[[], float] = time.monotonic


class AttemptPool:
    """Runs attempts in loops; the calling thread does all else.

    Args:
        setup: What it works with.
    """

    def __init__(self, setup: PoolSetup) -> None:
        self._setup, self._config, self._clock = setup, setup.config, setup.clock
        self._tries = Tries(setup.config.lost_retries)
        self._attempts: dict[Key, Attempt] = {}
        self._waiting: deque[Key] = deque()
        self._held: list[tuple[Attempt, int]] = []
        self._loops: dict[int, LoopView] = {}
        self._selector = selectors.DefaultSelector()
        self._scratch = Path(tempfile.mkdtemp(prefix="gqb-"))
        self._on_event: OnEvent = lambda _: None
        self._is_cancelled = self._is_heard = False

    @property
    def attempts(self) -> dict[Key, Attempt]:
        """The attempts that ended, in the order they ended."""
        return dict(self._attempts)

    def run(self, keys: Sequence[Key], on_event: OnEvent) -> None:
        """Run the attempts; ``attempts`` holds them all afterwards.

        Args:
            keys: Which, each once.
            on_event: Told what happens, in this thread.

        Raises:
            KeyboardInterrupt: As it came, after the open environments were closed. A second one leaves them to their loops.
            OutputFailed: An attempt could not be recorded or kept; ModelDenied: The agent's model is denied; likewise.
            MasterUnreachable: The master has not answered for too long; likewise.
        """
        self._waiting.extend(keys)
        self._on_event = on_event
        self._setup.nursery.tidy(self._scratch)
        try:
            with held_interrupts() as interrupts:
                try:
                    while len(self._attempts) < len(keys):
                        interrupts.check()
                        self._deal()
                        self._serve()
                        self._look_after()
                except MasterUnreachable:  # nobody is there to close anything: leases end what is open
                    self._is_cancelled = True
                    self._kill_loops()
                    raise
                except BaseException:
                    self._is_cancelled = True
                    self._dismiss(CANCEL_TIMEOUT_S)
                    raise
                self._dismiss(END_TIMEOUT_S)
        finally:
            self._selector.close()
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _deal(self) -> None:
        """Give every loop that has none a try, in so far as there are tries, and the master answers."""
        if self._silent_s():
            return
        idle = [loop for loop in self._loops.values() if loop.job is None and not loop.is_mute]
        room = self._config.parallel - sum(loop.is_busy for loop in self._loops.values())
        for _ in range(min(room, len(self._waiting))):
            loop = idle.pop() if idle else self._fork()
            key = self._waiting.popleft()
            env = self._setup.envs[key.env]
            if loop.begin(Job(key, env.env_dir, env.place, str(uuid.uuid4())), self._clock()):
                self._on_event(Started(key))
            else:  # it died while it was idle; its end will be told
                self._waiting.appendleft(key)

    def _fork(self) -> LoopView:
        number, channel = self._setup.nursery.fork()
        if self._setup.nursery.fileno() not in self._selector.get_map():
            self._selector.register(self._setup.nursery, selectors.EVENT_READ)
        scratch = self._scratch / str(number)
        scratch.mkdir()
        loop = self._loops[number] = LoopView(number, channel, scratch)
        self._selector.register(channel, selectors.EVENT_READ, loop)
        loop.tell(
            Boot(
                self._config,
                self._setup.folder,
                scratch,
                sys_path=tuple(sys.path),
                environ=dict(os.environ),
                working_folder=str(Path.cwd()),
                levels={name: logging.getLogger(name or None).level for name in LOGGERS},
            )
        )
        return loop

    def _serve(self) -> None:
        """Take what loops say, or what the nursery says of them."""
        for key, _ in self._selector.select(TICK_S):
            if isinstance(key.data, LoopView):
                self._hear(key.data)
            else:
                self._count_dead()

    def _hear(self, loop: LoopView) -> None:
        """Take one message of a loop."""
        if loop.is_mute:
            return
        try:
            message: FromLoop = loop.channel.recv()
            self._is_heard = True
        except (EOFError, OSError):
            loop.is_mute = True
            self._selector.unregister(loop.channel)
            self._setup.nursery.kill(loop.number)  # if it has not ended: it closed the way to us
            return
        if isinstance(message, Turn):
            loop.turns(message.where, self._clock())
        elif isinstance(message, Closing):
            loop.is_closing = (
                self._setup.close_env is not None
            )  # a cluster's own slots say how many there may be
        elif isinstance(message, Step) and loop.job is not None:
            loop.steps = message.steps
            self._on_event(Stepped(loop.job.key, message.steps))
        elif isinstance(message, Told) and loop.job is not None:
            self._on_event(Said(loop.job.key, message.text))
        elif isinstance(message, Result):
            loop.job = None
            self._settle(message.attempt, is_lost=message.is_lost)
        elif isinstance(message, Stop) and not self._is_cancelled:
            loop.failure = message.error
            raise message.error

    def _count_dead(self) -> None:
        control = self._setup.nursery.fileno()
        ends = self._setup.nursery.ends()
        if ends is None:
            self._selector.unregister(control)
            if not self._is_heard:  # another one would fare no better
                raise GymQueueError("the benchmark's processes cannot be started: see what they say above")
            ends = [LoopEnd(number, KILLED) for number in self._loops]
        for end in ends:
            loop = self._loops.get(end.number)
            if loop is not None:
                self._bury(loop, end.status)

    def _bury(self, loop: LoopView, status: int) -> None:
        """Take what a loop that has ended still said, and put away what it leaves."""
        with suppress(OSError):
            while not loop.is_mute and loop.channel.poll():
                self._hear(loop)
        del self._loops[loop.number]
        if not loop.is_mute:
            self._selector.unregister(loop.channel)
        loop.channel.close()
        shutil.rmtree(loop.scratch, ignore_errors=True)
        if loop.job is None:
            return
        self._close_env(loop.job)
        attempt, is_lost = loop.epitaph(status, self._clock())
        if self._is_cancelled:
            attempt = _cancelled(attempt)
        elif self._setup.folder is not None:
            verdict = attempt.model_dump(mode="json", exclude={"lost"})
            write_verdict(self._setup.folder / attempt_folder(loop.job.key), verdict)
        self._settle(attempt, is_lost=is_lost)

    def _close_env(self, job: Job) -> None:
        if self._silent_s():
            logger.info("the environment %s is left to its lease: the master does not answer", job.env_id)
        elif self._setup.close_env is not None:
            self._setup.close_env(job.env_id)
        else:
            remove_orphans(self._setup.envs[job.key.env].runners)

    def _settle(self, attempt: Attempt, *, is_lost: bool) -> None:
        """Keep a try that ended, or run it again; whether a lost one counts depends on whether the master is there."""
        if self._is_cancelled:
            if not is_lost:
                self._end(attempt)
        elif is_lost and self._setup.watch is not None:
            self._held.append((attempt, self._setup.watch.hurry()))
            self._on_event(Dropped(attempt.key))
        else:
            self._charge(attempt, is_lost=is_lost)

    def _charge(self, attempt: Attempt, *, is_lost: bool) -> None:
        done = self._tries.settle(attempt, is_lost=is_lost)
        if done is not None:
            self._end(done)
        else:
            self._waiting.appendleft(attempt.key)
            self._on_event(Dropped(attempt.key))

    def _end(self, attempt: Attempt) -> None:
        self._setup.keep(attempt)
        self._attempts[attempt.key] = attempt
        self._on_event(Dropped(attempt.key) if attempt.is_cancelled else Ended(attempt))

    def _look_after(self) -> None:
        """Look at what no loop tells: agents that hang, and a master that is silent."""
        now = self._clock()
        for loop in self._loops.values():
            if loop.failure is None and (late := loop.overdue(now, self._setup.turn_timeout_s)):
                loop.failure = late
                self._setup.nursery.kill(loop.number)
        if self._setup.watch is not None:
            self._judge_held(self._setup.watch)
        silent_s = self._silent_s()
        if silent_s > self._config.remote_gone_timeout_s:
            raise MasterUnreachable(
                f"{self._config.remote_url} has not answered for {silent_s:.0f} s: see that the master runs, "
                "then run the same command again with --resume"
            )
        self._on_event(Passing(silent_s))

    def _judge_held(self, watch: MasterWatch) -> None:
        seen, held = watch.seen(), self._held
        self._held = [each for each in held if each[1] > seen.asked]
        for attempt, number in held:
            if number <= seen.asked and seen.silent_s:
                self._tries.forgive(attempt)  # all attempts break while the master is away
                self._waiting.appendleft(attempt.key)
            elif number <= seen.asked:
                self._charge(attempt, is_lost=True)

    def _silent_s(self) -> float:
        return self._setup.watch.seen().silent_s if self._setup.watch is not None else 0.0

    def _dismiss(self, timeout_s: float) -> None:
        """Tell the loops to close what they have open and to end; kill those that do not in time."""
        for loop in self._loops.values():
            loop.tell(Cancel())
        self._await_ends(timeout_s)
        self._kill_loops()

    def _kill_loops(self) -> None:
        for loop in self._loops.values():
            self._setup.nursery.kill(loop.number)
        self._await_ends(END_TIMEOUT_S)

    def _await_ends(self, timeout_s: float) -> None:
        deadline = self._clock() + timeout_s
        while self._loops and self._clock() < deadline:
            with suppress(GymQueueError):  # what ends the run is known; a disk may still be full
                self._serve()


def _cancelled(attempt: Attempt) -> Attempt:
    error = AttemptError(code=Cancelled.code, message="the run was cancelled")
    return attempt.model_copy(update={"outcome": Outcome.ERROR, "error": error})
