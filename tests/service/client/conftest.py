from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from gym_queue.client import RemoteGymEnv
from gym_queue.log import LogSetup
from gym_queue.web.server import HttpServer, LoopThread, bind
from gym_queue.worker.host import Host
from gym_queue.worker.http import WorkerIdentity, make_worker_app
from gym_queue.worker.live import HostLimits
from gym_queue.worker.parts import HostPart, HttpPart

TOKEN = "cluster-token"
ENV: dict[str, Any] = {
    "id": "noise_env",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [320, 200]}, {"type": "cli_stdout"}],
    "action": [{"type": "mouse"}, {"type": "keyboard"}],
}
TASK: dict[str, Any] = {"id": "look", "description": "Look at the noise.", "init": {"max_steps": 50}}

Open = Callable[..., RemoteGymEnv]


class WithoutMessagePack:
    """A worker of the kind that knows only JSON: it never sees the header that asks for more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            MutableHeaders(scope=scope)["accept"] = "*/*"
        await self._app(scope, receive, send)


@contextmanager
def running_worker(wrap: Callable[[ASGIApp], ASGIApp], *, max_envs: int = 4) -> Iterator[str]:
    """Run a worker of this process's and yield its URL."""
    with tempfile.TemporaryDirectory(prefix="gq-", ignore_cleanup_errors=True) as folder:
        loop = LoopThread()
        host = Host(Path(folder), ("fake",), HostLimits(max_envs, 600.0, 60.0), log=LogSetup("ERROR"))
        bound = bind("127.0.0.1", 0)
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        identity = WorkerIdentity("w1", url, None, lambda: "none")
        server = HttpServer(wrap(make_worker_app(host, identity, token=TOKEN)), bound)
        loop.start()
        with ExitStack() as parts:
            for part in (HostPart(host, loop), HttpPart(server, loop)):
                part.start()
                parts.callback(part.stop)
            yield url


@pytest.fixture(scope="package")
def worker_url() -> Iterator[str]:
    with running_worker(lambda app: app) as url:
        yield url


@pytest.fixture(scope="package")
def json_worker_url() -> Iterator[str]:
    with running_worker(WithoutMessagePack) as url:
        yield url


@pytest.fixture
def env_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "noise_env"
    (folder / "tasks" / "look").mkdir(parents=True)
    (folder / "env.json").write_text(json.dumps(ENV))
    (folder / "tasks" / "look" / "task.json").write_text(json.dumps(TASK))
    return folder


@pytest.fixture
def open_env(worker_url: str, env_dir: Path) -> Iterator[Open]:
    """Opens environments that the test need not close."""
    with ExitStack() as opened:

        def open_one(url: str = worker_url, **options: Any) -> RemoteGymEnv:
            options = {"env_dir": env_dir, "task_id": "look", "token": TOKEN, "timeout": 60, **options}
            return opened.enter_context(RemoteGymEnv.from_config(url, **options))

        yield open_one
