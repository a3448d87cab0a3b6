"""A real master that asks for tokens, with every kind of caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gym_queue.master.access import Keyring
from gym_queue.master.run import Master
from gym_queue.master.tokens import NamedTokens, TokenFile
from gym_queue.settings import MasterSettings
from gym_queue.web.attempts import Attempts
from gym_queue.web.rotation import RotatingToken
from gym_queue.web.server import LoopThread, bind

ABSENT = "amqp://127.0.0.1:1//"
"""A broker beside which the state is kept in a file."""
CLUSTER, WORKER, METRICS = "the-cluster-token", "the-worker-token", "the-metrics-token"


@dataclass
class Guarded:
    """A master, its tokens' file, and calls by the name of their caller."""

    url: str
    file: TokenFile
    keys: Keyring
    tokens: dict[str, str | None] = field(default_factory=dict)
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    def name(self, name: str, **limits: Any) -> None:
        """Give a client a token."""
        self.tokens[name] = self.file.create(name, **limits)
        self.keys.refresh()

    def by(self, who: str) -> httpx.Client:
        """Return a client with the token of a caller."""
        if who not in self.clients:
            token = self.tokens[who]
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            self.clients[who] = httpx.Client(base_url=self.url, headers=headers, timeout=30)
        return self.clients[who]

    def create(self, who: str, env_id: str, **more: Any) -> httpx.Response:
        """Ask for an environment."""
        return self.by(who).post("/envs/create", json={"env_id": env_id, "env_dir": "e", **more})


@contextmanager
def guarded_master(loop: LoopThread, folder: Path, **more: Any) -> Iterator[Guarded]:
    """Run a master on a state folder; the same folder again goes on from it."""
    file = TokenFile(folder / "tokens.json")
    cluster = more.pop("cluster", None) or RotatingToken(CLUSTER)
    keys = Keyring(
        cluster,
        worker_token=more.pop("worker_token", WORKER),
        metrics_token=more.pop("metrics_token", METRICS),
        named=NamedTokens(file),
        attempts=Attempts(pause=_at_once),
    )
    settings = MasterSettings(port=0, broker_url=ABSENT, state_dir=folder / "state", **more)
    bound = bind("127.0.0.1", 0)
    master = Master(
        settings, CLUSTER, bound, add_pages=lambda _app: None, open_paths=frozenset({"/health"}), keys=keys
    )
    loop.run(master.start(), 30)
    found = Guarded(f"http://127.0.0.1:{bound.getsockname()[1]}", file, keys)
    found.tokens = {
        "cluster": CLUSTER,
        "worker": WORKER,
        "metrics": METRICS,
        "none": None,
        "env token": "of-one-env",
    }
    try:
        yield found
    finally:
        for client in found.clients.values():
            client.close()
        loop.run(master.stop(), 30)


async def _at_once(_seconds: float) -> None:
    """Let wrong tokens wait for nothing: the tables here have many."""


def worker_of(http: httpx.Client, worker_id: str) -> Mapping[str, Any]:
    """Return what a master says of a worker; nothing when it does not know it."""
    workers = http.get("/workers/list").json()["workers"]
    return next((worker for worker in workers if worker["worker_id"] == worker_id), {})
