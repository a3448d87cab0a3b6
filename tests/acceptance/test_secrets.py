"""No token, password or key is in any line that any program logs at DEBUG, nor in what lists show."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from gym_queue.broker.app import make_app
from gym_queue.broker.events import EventListener
from gym_queue.errors import GymQueueError
from gym_queue.testing import Fleet
from tests.acceptance.conftest import Place, fleet_at, wait_until

DEBUG = ("--log-level", "debug")
LISTS = {
    "master": (
        *("/envs/list", "/workers/list", "/queue", "/api/tasks", "/api/metrics", "/health", "/openapi.json"),
        *("/", "/dashboard", "/dashboard/app.js", "/envs/{env}", "/metrics", "/no/such/call"),
        *("/api/tasks?limit=500", "/api/tasks/{env}", "/api/broker"),
        *("/api/logs/{env}", "/envs/{env}/logs"),
    ),
    "worker": (
        *("/envs/list", "/health", "/openapi.json", "/envs/{env}", "/metrics", "/no/such/call"),
        "/envs/{env}/logs",
    ),
}
CLIENT = """
import json, logging, sys
logging.basicConfig(level=logging.DEBUG)
from gym_queue import RemoteGymEnv
from gym_queue.errors import GymQueueError
url, fields = sys.argv[1], json.loads(sys.argv[2])
for token in (None, "wrong-" + fields["verifier_env"]["OPENAI_API_KEY"]):
    try:
        env = RemoteGymEnv(remote_url=url, **fields, **({"token": token} if token else {}))
        print(env, repr(env), vars(env).keys())
        env.reset()
        env.step([{"keyboard": {"text": "x"}}], mark_done=True)
        env.close()
    except GymQueueError as error:
        logging.getLogger("test").error("%r %s", error, error.to_wire())
"""


def new(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(16)}"


@dataclass
class Run:
    """A fleet, its secrets, and all that its clients printed."""

    place: Place
    fleet: Fleet
    tokens: Mapping[str, str]
    secrets: dict[str, str]
    said: list[str] = field(default_factory=list)
    broker_url: str = ""

    def http(self, url: str, token: str) -> httpx.Client:
        """Return a client with a token."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30)

    def leaks(self, text: str) -> list[str]:
        """Return the names of the secrets that a text holds, however they are written."""
        spellings = {
            name: {value, quote(value, safe=""), json.dumps(value)[1:-1]}
            for name, value in self.secrets.items()
        }
        return [name for name, written in spellings.items() if any(each in text for each in written)]


@pytest.fixture
def run(place: Place) -> Iterator[Run]:
    tokens = {"cluster": new("cluster"), "worker": new("worker"), "metrics": new("metrics")}
    variables = {
        "GYM_ANYTHING_TOKEN": tokens["cluster"],
        "GYM_ANYTHING_WORKER_TOKEN": tokens["worker"],
        "GYM_ANYTHING_MASTER_METRICS_TOKEN": tokens["metrics"],
    }
    named = place.run("gym-anything", "token", "create", "ann").stdout.strip()
    known = {
        **tokens,
        "named client": named,
        "API key": new("sk"),
        "VNC": new("vnc"),
        "account": new("password"),
    }
    variables |= {"OPENAI_API_KEY": known["API key"]}
    setup = {
        "workers": 1,
        "master_arguments": DEBUG,
        "worker_arguments": ("--runners", "fake,local", *DEBUG),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with fleet_at(place, **setup) as fleet:
            yield Run(place, fleet, {**tokens, "named client": named}, known)


def spec_of(run: Run) -> dict[str, object]:
    """Return a create's fields that carry every secret a client may send."""
    return {
        "env_spec": {
            "id": "small",
            "runner": "fake",
            "observation": [{"type": "rgb_screen", "resolution": [64, 48]}],
            "action": [{"type": "keyboard"}],
            "hooks": {"post_start": ["true"]},
            "vnc": {"password": run.secrets["VNC"]},
            "user_accounts": [{"name": "ann", "password": run.secrets["account"]}],
        },
        "verifier_env": {"OPENAI_API_KEY": run.secrets["API key"]},
    }


def register_by_hand(run: Run) -> None:
    """Learn what only workers are told: the broker's password and a worker's secret."""
    with run.http(run.fleet.url, run.tokens["worker"]) as http:
        body = {"worker_id": "by-hand", "url": "http://127.0.0.1:9", "max_envs": 0, "bears_secret": True}
        told = http.post("/workers/register", json=body).json()
        run.secrets["worker's own"] = told["worker_secret"]
        run.broker_url = told["broker_url"]
        password = urlsplit(told["broker_url"]).password
        if password:
            run.secrets["broker"] = password
        headers = {"X-Worker-Secret": told["worker_secret"]}
        http.post("/workers/heartbeat", json={"worker_id": "by-hand"}, headers=headers)
        http.post("/workers/heartbeat", json={"worker_id": "by-hand"}, headers={"X-Worker-Secret": "wrong"})


def go_wrong(run: Run, env_id: str) -> None:
    """Make the calls whose errors are logged, with secrets in all they carry."""
    key = run.secrets["API key"]
    for url in (run.fleet.url, run.fleet.worker_urls[0]):
        with run.http(url, run.tokens["worker" if url != run.fleet.url else "cluster"]) as http:
            http.get(f"/dashboard?token={run.tokens['cluster']}")
            http.get("/envs/list", headers={"Authorization": f"Basic {run.tokens['cluster']}"})
            http.post("/envs/create", json={"env_spec": {"id": "x"}, "verifier_env": {"K": key}})
            http.post(
                "/envs/create", json={"env_dir": "terminal_env", "task_id": "no", "verifier_env": {"K": key}}
            )
            http.post("/envs/create", json={"env_spec": 5, "verifier_env": {f"{key}=": key}})
            http.post("/envs/create", content=json.dumps({"verifier_env": {"K": key}})[:-1])
            http.post(f"/envs/{env_id}/step", json={"actions": 5})
            http.get(f"/envs/none/session_info?token={run.tokens['cluster']}")


@contextmanager
def overheard(run: Run) -> Iterator[list[dict[str, Any]]]:
    """Yield what Celery's events tell everybody who watches the broker."""
    events: list[dict[str, Any]] = []
    app = make_app(run.broker_url, name="test.events")
    listener = EventListener(app, events.append)
    listener.start()
    assert listener.wait_until_consuming(10)
    try:
        yield events
    finally:
        listener.stop()
        app.close()


def drive(run: Run) -> None:
    """Run clients of every kind: the library, raw calls, the commands, and a worker that dies."""
    fields = spec_of(run)
    client = [sys.executable, "-c", CLIENT, run.fleet.url, json.dumps(fields)]
    ended = subprocess.run(client, capture_output=True, text=True, timeout=120, check=False)
    run.said += [ended.stdout, ended.stderr]
    for command in ("status", "list terminal_env", "token list"):
        ran = run.place.run("gym-anything", *command.split(" "), GYM_ANYTHING_REMOTE_URL=run.fleet.url)
        run.said += [ran.stdout, ran.stderr]


def lists(run: Run, env_id: str) -> Iterator[tuple[str, str]]:
    """Yield what every call that shows more than one environment answers."""
    for program, paths in LISTS.items():
        url = run.fleet.url if program == "master" else run.fleet.worker_urls[0]
        with run.http(url, run.tokens["cluster" if program == "master" else "worker"]) as http:
            for path in paths:
                reply = http.get(path.format(env=env_id))
                yield f"{program} {path}", f"{reply.text} {reply.headers}"


def test_no_secret_is_in_a_line_of_the_logs_or_in_a_list(run: Run) -> None:
    register_by_hand(run)
    with overheard(run) as events, run.http(run.fleet.url, run.tokens["named client"]) as http:
        made = http.post("/envs/create", json=spec_of(run)).json()
        run.secrets["env"] = made["env_token"]
        env_id = made["env_id"]
        assert http.post(f"/envs/{env_id}/reset").status_code == 200
        assert http.post(f"/envs/{env_id}/step", json={"mark_done": True}).status_code == 200
        with run.http(made["worker_url"], made["env_token"]) as direct:
            assert direct.post(f"/envs/{env_id}/reset").status_code == 200
        drive(run)
        go_wrong(run, env_id)
        for what, shown in lists(run, env_id):
            assert run.leaks(shown) == [], what
        wait_until(lambda: {"task-succeeded", "task-failed"} <= {event["type"] for event in events})
        assert [event for event in events if run.leaks(json.dumps(event))] == []
        run.fleet.kill_env_process(0)
        wait_until(lambda: http.post(f"/envs/{env_id}/step", json={}).status_code in (404, 410))
    with suppress(GymQueueError):
        run.fleet.terminate_worker(0)
    said = [run.fleet.log_text(), *run.said]
    assert "DEBUG" in said[0], said
    assert "RemoteGymEnv(" in run.said[0]
    assert "Traceback" not in "".join(said)
    found = {line for text in said for line in text.splitlines() if run.leaks(line)}
    assert found == set()
    assert len(run.secrets) >= 8
