"""What there is to see in the browser tests and in the pictures of docs/dashboard.md: environments of every kind."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import gym_queue.environments
from gym_queue import RemoteGymEnv
from gym_queue.errors import GymQueueError

TASKS = Path(gym_queue.environments.__path__[0]) / "terminal_env" / "tasks"
DESKTOP: dict[str, Any] = {
    "id": "editor_desktop",
    "runner": "local",
    "display_backend": "x11",
    "entrypoint": "exec xterm -fa Monospace -fs 14 -geometry 100x30+0+0",
    "observation": [{"type": "rgb_screen", "resolution": [1280, 720]}],
    "action": [{"type": "keyboard"}, {"type": "mouse"}],
    "vnc": {"enable": True, "view_only": False},
}


@dataclass(frozen=True, slots=True)
class Door:
    """Where the cluster is."""

    url: str
    token: str

    def open(self, spec: Any, task: str | None = None, **more: Any) -> RemoteGymEnv:
        """Create an environment."""
        if isinstance(spec, str):
            return RemoteGymEnv.from_config(self.url, spec, task, token=self.token, **more)
        return RemoteGymEnv(self.url, spec, token=self.token, **more)

    @contextmanager
    def desktop(self) -> Iterator[RemoteGymEnv]:
        """A desktop with a terminal in it, at work."""
        with self.open(DESKTOP) as env:
            env.reset(seed=1)
            env.step([{"mouse": {"left_click": [300, 200]}}])
            env.step([{"keyboard": {"text": "echo hello from the desktop\n"}}])
            yield env

    @contextmanager
    def driven(self) -> Iterator[RemoteGymEnv]:
        """A desktop whose agent waits for a person."""
        told = {"task": "Write into ~/notes.txt what is missing for breakfast, one thing a line.", "step": 2}
        with self.desktop() as env:
            asking = threading.Thread(target=self._ask_a_person, args=(env.env_id, told))
            asking.start()
            yield env
        asking.join()

    def _ask_a_person(self, env_id: str, told: dict[str, Any]) -> None:
        """Ask, as an agent does, until somebody did something or the environment has gone."""
        url, headers = f"{self.url}/api/envs/{env_id}/hand/next", {"Authorization": f"Bearer {self.token}"}
        body = {"wait_s": 25.0, "told": told}
        while httpx.post(url, headers=headers, json=body, timeout=60).status_code == 204:
            pass

    @contextmanager
    def terminal(self, task: str = "largest_file") -> Iterator[RemoteGymEnv]:
        """A terminal, at work on a task."""
        with self.open("terminal_env", task) as env:
            env.reset(seed=1)
            env.step([{"keyboard": {"text": "ls -la\n"}}])
            yield env

    def play(self, task: str, script: str = "steps") -> None:
        """Play a task's solution, or its mistake, from its first step to its verdict."""
        steps: Sequence[Sequence[dict[str, Any]]] = json.loads((TASKS / task / "solution.json").read_text())[
            script
        ]
        with self.open("terminal_env", task) as env:
            env.reset(seed=1)
            for at, actions in enumerate(steps):
                env.step(list(actions), mark_done=at + 1 == len(steps))

    def fail(self, env_id: str) -> None:
        """Ask for what no worker can open, past the client, which would see that by itself."""
        body = {"env_id": env_id, "env_dir": "terminal_env", "task_id": "no_such_task"}
        self.post("/envs/create", body)

    @contextmanager
    def waiting(self, env_id: str) -> Iterator[str]:
        """Ask for one more than a full cluster takes; it waits, and is kept when it comes, until the block's end."""
        over = threading.Event()

        def ask() -> None:
            with (
                contextlib.suppress(GymQueueError),
                self.open("terminal_env", "top_ip", env_id=env_id, queue_timeout_s=300),
            ):
                over.wait()

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield env_id
        finally:
            over.set()
            self.close(env_id)
            thread.join()

    def close(self, env_id: str) -> None:
        """Close an environment by its id, or give its create up."""
        self.post(f"/envs/{env_id}/close", {})

    def post(self, path: str, body: dict[str, Any]) -> None:
        """Send a call, whatever becomes of it."""
        headers = {"Authorization": f"Bearer {self.token}"}
        httpx.post(self.url + path, headers=headers, json=body, timeout=60)
