"""A real fleet that asks for tokens, every kind of caller of its two programs, and what hostile calls may leave."""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from gym_queue.errors import error_types
from gym_queue.master.tokens import TokenFile
from gym_queue.testing import Fleet, FleetSetup
from tests.waiting import wait_until

DEADLINE_S = 15.0
"""Longest any reply may take to begin, or to go on."""
LONGEST = 5000
"""Characters of an error, the end of a verifier's output included."""
CLUSTER, WORKER, METRICS = (f"{what}-{secrets.token_hex(16)}" for what in ("cluster", "worker", "metrics"))
JSON = {"Content-Type": "application/json"}
PAGES = ("page", "another page")
"""Callers with the operator's cookie: the dashboard's own page, and one of another server."""
Verdict = tuple[int, str | None]
"""A reply's status and, of an error, its code."""
MALFORMED, INVALID = (400, "malformed"), (422, "request_invalid")
UNAUTHORIZED, FORBIDDEN = (401, "unauthorized"), (403, "forbidden")
FINE = (200, None)


@dataclass
class Cluster:
    """A master, a worker, and clients by the program they call and the token they bear."""

    fleet: Fleet
    folder: Path
    token_file: Path
    tokens: dict[str, str | None]
    clients: dict[tuple[str, str], httpx.Client] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, program: str) -> str:
        """Return where the master or the worker serves."""
        return self.fleet.url if program == "master" else self.fleet.worker_urls[0]

    def by(self, caller: str, program: str = "master") -> httpx.Client:
        """Return a client of one program that bears a caller's token."""
        key = (program, caller)
        with self.lock:
            if key not in self.clients:
                self.clients[key] = httpx.Client(
                    base_url=self.url(program),
                    headers=self._headers(caller, program),
                    timeout=DEADLINE_S,
                    trust_env=False,
                )
            return self.clients[key]

    def _headers(self, caller: str, program: str) -> dict[str, str]:
        if caller in PAGES:
            marks = {"X-Gym-Queue-Page": "1", "Origin": self.url(program)} if caller == "page" else {}
            return {"Cookie": f"gym_queue_token={CLUSTER}", **marks}
        token = self.tokens[caller]
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    def hang_up(self) -> None:
        """Close every client's connections."""
        for client in self.clients.values():
            client.close()
        self.clients.clear()

    def create(self, **fields: Any) -> Env:
        """Return a new environment of the named client."""
        body = {"env_spec": small(), **fields} if "env_dir" not in fields else fields
        reply = self.by("client").post("/envs/create", json=body)
        assert reply.status_code == 201, reply.text
        made = reply.json()
        return Env(self, made["env_id"], made["env_token"])

    def round_trip(self) -> None:
        """See that the fleet works: an episode from its create to its close."""
        env = self.create()
        for call, body in (
            ("reset", {}),
            ("step", {"actions": [{"keyboard": {"text": "x"}}]}),
            ("close", {}),
        ):
            assert env.post(call, body).status_code == 200

    def remains(self) -> dict[str, Any]:
        """Return all that calls could leave behind."""
        programs = [self.fleet.master, *self.fleet.workers]
        listed = [
            self.by(*who).get("/envs/list").json() for who in (("operator", "master"), ("worker", "worker"))
        ]
        workers = self.by("operator").get("/workers/list").json()
        return {
            "environments": [sorted(each["environments"]) for each in listed],
            "routes": workers["env_mappings"],
            "workers": sorted(each["worker_id"] for each in workers["workers"]),
            "waiting": self.by("operator").get("/queue").json()["total"],
            "processes": sorted(self.fleet.processes()),
            "descriptors": [_descriptors(each.process.pid) for each in programs if each is not None],
            "files": sorted(str(path) for path in self.folder.glob("tmp/*")) + self._env_folders(),
        }

    def _env_folders(self) -> list[str]:
        return sorted(str(path) for path in self.folder.glob("tmp/*/envs/*"))


@dataclass(frozen=True)
class Env:
    """One environment, and calls to it by way of either program."""

    cluster: Cluster
    env_id: str
    token: str

    def client(self, program: str = "master") -> httpx.Client:
        """Return the client that may call it: the named one at the master, this environment's own at the worker."""
        self.cluster.tokens[self.env_id] = self.token
        return self.cluster.by("client" if program == "master" else self.env_id, program)

    def post(self, call: str, body: Any = None, *, program: str = "master", **more: Any) -> httpx.Response:
        """Make a call."""
        return self.client(program).post(f"/envs/{self.env_id}/{call}", json=body, **more)

    def get(self, call: str, *, program: str = "master", **more: Any) -> httpx.Response:
        """Ask for something."""
        return self.client(program).get(f"/envs/{self.env_id}/{call}", **more)

    def raw(
        self,
        method: str,
        call: str,
        lines: bytes = b"",
        *,
        program: str = "master",
        auth: bytes | None = None,
    ) -> bytes:
        """Send a request's head as it is written; return all that comes back until the other side hangs up."""
        client = self.client(program)
        token = client.headers["authorization"].encode() if auth is None else auth
        head = f"{method} /envs/{self.env_id}/{call} HTTP/1.1\r\nHost: h\r\nAuthorization: ".encode() + token
        where = (client.base_url.host, client.base_url.port or 80)
        with socket.create_connection(where, timeout=DEADLINE_S) as connection:
            connection.sendall(head + b"\r\n" + lines + b"Connection: close\r\n\r\n")
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def folder(self) -> Path:
        """Return its episode's folder, on this machine."""
        return Path(self.get("episode_dir").json()["episode_dir"])


def small(runner: str = "fake", **fake: float) -> dict[str, Any]:
    """Return the spec of an environment that costs nothing."""
    screen = {"type": "rgb_screen", "resolution": [64, 48]}
    return {
        "id": "small",
        "runner": runner,
        "observation": [screen, {"type": "cli_stdout"}],
        "action": [{"type": "keyboard"}],
        "fake": fake,
    }


def verdict(reply: httpx.Response) -> Verdict:
    """Return what a reply says, after seeing that an error is one of the wire's and tells no secret."""
    assert not any(secret in reply.text for secret in (CLUSTER, WORKER, METRICS))
    if reply.status_code < 400:
        return reply.status_code, None
    body = json.loads(reply.content, parse_constant=_no_json)
    assert isinstance(body["error"], str)
    assert len(body["error"]) < LONGEST
    assert reply.headers["x-request-id"] == body["request_id"]
    assert error_types()[body["code"]].status == reply.status_code
    assert ("www-authenticate" in reply.headers) == (reply.status_code == 401)
    return reply.status_code, body["code"]


@contextmanager
def running_cluster(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Run a master and a worker with tokens of their own, in a folder."""
    patch.delenv("GYM_ANYTHING_TOKEN", raising=False)
    temp, roots = folder / "tmp", folder / "roots"
    for each in (temp, roots):
        each.mkdir()
    token_file, tokens_file = folder / "token", folder / "tokens.json"
    token_file.write_text(CLUSTER)
    token_file.chmod(0o600)
    named = TokenFile(tokens_file).create("ann")
    setup = FleetSetup(
        workers=1,
        max_envs=12,
        master_arguments=("--heartbeat", "1"),  # what ends at the worker alone is off the routes soon
        worker_arguments=(
            *("--runners", "fake,local", "--env-root", str(roots)),
            *("--verifier-timeout", "2", "--verifier-processes", "24"),
        ),
        variables={
            "TMPDIR": str(temp),
            "GYM_ANYTHING_TOKEN_FILE": str(token_file),
            "GYM_ANYTHING_TOKENS_FILE": str(tokens_file),
            "GYM_ANYTHING_WORKER_TOKEN": WORKER,
            "GYM_ANYTHING_MASTER_METRICS_TOKEN": METRICS,
            "GYM_ANYTHING_WORKER_EPISODES_DIR": str(folder / "episodes"),
        },
    )
    with Fleet(setup) as fleet:
        tokens = {"operator": CLUSTER, "client": named, "worker": WORKER, "metrics": METRICS, "none": None}
        cluster = Cluster(fleet, folder, token_file, tokens)
        yield cluster
        cluster.hang_up()


def wait_nothing_left(cluster: Cluster, before: dict[str, Any]) -> None:
    """Wait until what calls could leave behind is as it was; sockets of pools may stay for their next call."""

    def changed() -> dict[str, Any]:
        after = cluster.remains()
        return {key: (before[key], after[key]) for key in before if before[key] != after[key]}

    try:
        wait_until(lambda: not changed())
    except AssertionError:
        pytest.fail(f"left behind, as (before, after): {changed()}")


def _descriptors(pid: int) -> list[str]:
    """Return a process's open files, pipes and devices; what serves its connections comes and goes with them."""
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(fd.readlink()).split(":")[0])
        except FileNotFoundError:
            continue  # of the listing itself, or closed meanwhile
    return sorted(each for each in found if each not in ("socket", "anon_inode"))


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def count_sockets(cluster: Cluster) -> int:
    """Return how many connections the programs hold."""
    programs = [each for each in (cluster.fleet.master, *cluster.fleet.workers) if each is not None]
    return sum(len(psutil.Process(each.process.pid).net_connections()) for each in programs)
