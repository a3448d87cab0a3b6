"""A loop: the process that runs tries one after another, as its run tells it. Forked by nurserymain."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from gym_queue.benchmark.agents.registry import AgentFactory, find_agent
from gym_queue.benchmark.attempt import Key
from gym_queue.benchmark.messages import Boot, Closing, FromLoop, Job, Result, Step, Stop, Told, Turn
from gym_queue.benchmark.openenvs import OpenEnvs
from gym_queue.benchmark.opener import make_opener
from gym_queue.benchmark.output import attempt_folder
from gym_queue.benchmark.play import TrySetup, run_try
from gym_queue.benchmark.recorder import FolderRecorder, NoRecorder, Recorder
from gym_queue.benchmark.remote import close_remote
from gym_queue.errors import GymQueueError
from gym_queue.runners.processes import become_subreaper

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 30.0
"""Longest that a cancelled loop waits for its environment to close."""
UNWIND_TIMEOUT_S = 1.0
"""Longest that it then waits for its try: the agent may wait for a model's answer."""


def main(fd: int) -> NoReturn:
    """Be a loop.

    Args:
        fd: Of the socket to the run.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a run that is interrupted says so itself
    become_subreaper()  # what an environment of this process starts stays ours, and ends with us
    _redirect()
    channel = Connection(fd)
    try:
        boot: Boot = channel.recv()
        Loop(channel, boot).run()
    except (EOFError, OSError):  # the run has gone
        os._exit(1)
    except GymQueueError as error:
        _say(channel, Stop(error))
    except BaseException as error:
        logger.exception("a loop of the benchmark broke")
        _say(channel, Stop(GymQueueError(f"a loop of the benchmark broke: {type(error).__name__}: {error}")))
    os._exit(0)  # threads of the agent's libraries hold up no one


def _redirect() -> None:
    """Leave standard input to the run, and standard output too, which is for results alone."""
    os.dup2(2, 1)
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  for the life of the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)  # an agent may end the process without a flush


def _say(channel: Connection, message: FromLoop) -> None:
    with suppress(OSError, ValueError):
        channel.send(message)


class Loop:
    """Runs tries, each when it is told to.

    Args:
        channel: To the run.
        boot: Its first message.
    """

    def __init__(self, channel: Connection, boot: Boot) -> None:
        self._channel, self._boot = channel, boot
        _enter(boot)
        self._agents = _find(boot)
        self._envs = OpenEnvs(make_opener(boot.config), partial(_abandon, boot.config.remote_url))
        self._jobs: list[Job] = []
        self._changed = threading.Condition()
        self._is_ending = False
        self._unwound = threading.Event()

    def run(self) -> None:
        """Go on until the run says that it is over, or has gone."""
        listener = threading.Thread(target=self._listen, name="benchmark-listen", daemon=True)
        listener.start()
        setup = self._setup()
        try:
            while (job := self._next()) is not None:
                self._channel.send(Result(*run_try(job, setup)))
        except OSError:  # the run has gone: the listener closes what is open, and ends this process
            self._unwound.set()
            listener.join(CLOSE_TIMEOUT_S)
            raise
        self._unwound.set()

    def turn(self, where: str | None) -> None:
        """Tell the run that the agent's turn begins, or is over."""
        self._channel.send(Turn(where))

    def step(self, steps: int) -> None:
        """Tell the run of a step."""
        self._channel.send(Step(steps))

    def tell(self, text: str) -> None:
        """Tell the run's user something."""
        self._channel.send(Told(text))

    def closing(self) -> None:
        """Tell the run that the environment is being closed."""
        self._channel.send(Closing())

    def _setup(self) -> TrySetup:
        config = self._boot.config
        return TrySetup(
            self._envs,
            self._agents,
            self,
            seed=config.seed,
            steps=config.steps,
            reset=config.reset_options(),
            remote_url=config.remote_url,
            record=self._record,
        )

    def _record(self, key: Key) -> Recorder:
        folder = self._boot.folder
        if folder is None:
            return NoRecorder(key)
        return FolderRecorder(folder / attempt_folder(key), self._boot.config.frames, with_output=True)

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_ending)
            return None if self._is_ending else self._jobs.pop(0)

    def _listen(self) -> None:
        while True:
            try:
                message: Any = self._channel.recv()
            except (EOFError, OSError):  # the run has ended, perhaps by kill -9
                message = None
            if not isinstance(message, Job):
                self._end()
            with self._changed:
                self._jobs += [message]
                self._changed.notify()

    def _end(self) -> NoReturn:
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        for closer in self._envs.cancel():
            closer.join(max(deadline - time.monotonic(), 0.0))
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self._unwound.wait(UNWIND_TIMEOUT_S)
        os._exit(0)


def _enter(boot: Boot) -> None:
    """Make this process's surroundings the run's."""
    os.environ.clear()
    os.environ.update(boot.environ)
    os.chdir(boot.working_folder)
    sys.path[:] = boot.sys_path
    importlib.invalidate_caches()
    tempfile.tempdir = str(boot.scratch)
    for name, level in boot.levels.items():
        logging.getLogger(name or None).setLevel(level)


def _abandon(url: str | None, env_id: str) -> None:
    """Close what is being opened; in this process it ends with the loop."""
    if url is not None:
        close_remote(url, env_id)


def _find(boot: Boot) -> AgentFactory:
    return find_agent(boot.config.agent, boot.config.all_agent_args())
