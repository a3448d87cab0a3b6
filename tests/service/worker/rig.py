"""A real Host on a loop of its own, driven from the test's thread, and what to find of it on the machine."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgpack
import psutil
from pydantic import BaseModel

from gym_queue.protocol.sessions import CreateRequest, ResetRequest, StepRequest
from gym_queue.web.server import LoopThread
from gym_queue.worker.host import Host
from gym_queue.worker.live import HostLimits, LiveEnv
from tests.waiting import wait_until

CALL_TIMEOUT_S = 30.0


def spec(
    runner: str = "fake", *, hook: str | None = None, inline: bool = False, **fake: float
) -> dict[str, Any]:
    """Return a small environment's spec.

    Args:
        runner: fake or local.
        hook: A command run inside when an episode starts.
        inline: Whether JSON replies carry the screen.
        fake: Options of the fake runner.
    """
    screen = {"type": "rgb_screen", "resolution": [160, 120], "inline": inline}
    return {
        "id": "small",
        "runner": runner,
        "observation": [screen, {"type": "cli_stdout"}],
        "action": [{"type": "keyboard"}],
        "hooks": {"post_start": [hook] if hook else []},
        "fake": fake,
    }


def request(env_id: str | None = None, env_spec: dict[str, Any] | None = None) -> CreateRequest:
    """Return a request for an environment."""
    return CreateRequest(env_id=env_id, env_spec=env_spec or spec())


def typed(text: str) -> dict[str, Any]:
    """Return a step's arguments that type ``text``."""
    return hot(StepRequest(actions=[{"keyboard": {"text": text}}]))


def hot(request: BaseModel) -> dict[str, Any]:
    """Return a hot call's arguments, as HotCalls hands them on."""
    return {"body": request.model_dump_json().encode(), "msgpack": True, "request_id": "r"}


class Rig:
    """A Host and its loop."""

    def __init__(
        self,
        work_dir: Path,
        limits: HostLimits,
        clock: Callable[[], float] = time.time,
        runners: tuple[str, ...] = ("fake", "local"),
    ) -> None:
        self.work_dir = work_dir
        self.loop = LoopThread()
        self.loop.start()
        self.host = Host(work_dir, runners, limits, clock=clock)
        self._threads = ThreadPoolExecutor(64)

    def start(self) -> None:
        self.run(self.host.start())

    def stop(self) -> None:
        self.run(self.host.stop())
        self.loop.stop()
        self._threads.shutdown()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(work, CALL_TIMEOUT_S)

    def begin(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Start ``work`` and go on."""
        return self._threads.submit(self.run, work)

    def open(self, env_spec: dict[str, Any] | None = None, **fields: Any) -> LiveEnv:
        request = CreateRequest(env_spec=env_spec or spec(), **fields)
        env: LiveEnv = self.run(self.host.open(request))
        return env

    def open_running(self, env_spec: dict[str, Any] | None = None, **fields: Any) -> LiveEnv:
        env = self.open(env_spec, **fields)
        self.reset(env)
        return env

    def reset(self, env: LiveEnv) -> dict[str, Any]:
        return dict(msgpack.unpackb(self.call(env, "reset", hot(ResetRequest()))))

    def step(self, env: LiveEnv, text: str = "x") -> dict[str, Any]:
        return dict(msgpack.unpackb(self.call(env, "step", typed(text))))

    def call(self, env: LiveEnv, operation: str, arguments: dict[str, Any] | None = None) -> Any:
        return self.run(self.host.call(env.env_id, operation, arguments))

    def close(self, env: LiveEnv) -> None:
        self.run(self.host.close(env.env_id))

    @property
    def live(self) -> set[str]:
        return set(self.host.snapshot())

    def forkserver(self) -> psutil.Process:
        (found,) = [
            each for each in psutil.Process().children() if str(self.work_dir) in " ".join(each.cmdline())
        ]
        return found

    def process(self, env: LiveEnv) -> psutil.Process:
        assert env.process is not None
        return psutil.Process(env.process.pid)

    def freeze(self, env: LiveEnv) -> None:
        """Stop an environment's process; returns when it is seen to stand still."""
        process = self.process(env)
        process.suspend()
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED)

    def env_dir(self, env: LiveEnv) -> Path:
        return self.work_dir / "envs" / env.env_id


class Mark:
    """A number of seconds that no other ``sleep`` of this machine sleeps, to find a test's processes by."""

    def __init__(self) -> None:
        self.text = f"{3600 + secrets.randbelow(10**9)}.{secrets.randbelow(10**6)}"

    def daemons(self) -> str:
        """Return a command that leaves three processes: a plain one, a daemon, and a daemon without our mark."""
        sleep = f"sleep {self.text} >/dev/null 2>&1 </dev/null &"
        return f"({sleep}); (setsid {sleep}); (env -i setsid {sleep});"

    def count(self) -> int:
        return len(self.found())

    def found(self) -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if self._is_ours(each)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.cmdline() == ["sleep", self.text]
        except psutil.Error:
            return False
