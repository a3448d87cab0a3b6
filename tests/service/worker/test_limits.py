"""What a worker takes of one environment's clients: one step at a time, and no more than the operator allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from gym_queue.env.bounds import EpisodeBounds
from gym_queue.worker.live import HostLimits, LiveEnv
from tests.service.worker.rig import Rig, spec
from tests.service.worker.test_http import TOKEN, TYPE, code, create, serve
from tests.waiting import wait_until

STEP_BYTES, COPY_BYTES = 5000, 100
DEEP = b"[" * 100_000 + b"]" * 100_000
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A Host with small limits."""
    bounds = EpisodeBounds(actions=3, wait_s=1.0, frames=2, copy_bytes=COPY_BYTES)
    limits = HostLimits(8, 3600, 20, step_bytes=STEP_BYTES, episode_bounds=bounds)
    rig = Rig(tmp_path_factory.mktemp("w"), limits)
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def url(strict: Rig) -> Iterator[str]:
    yield from serve(strict)


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def env(client: httpx.Client) -> Iterator[str]:
    path = create(client)
    assert client.post(f"{path}/reset").status_code == 200
    yield path
    client.post(f"{path}/close")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


class Stepping:
    """An environment in the middle of a call that another thread waits for."""

    def __init__(self, client: httpx.Client, rig: Rig, threads: ThreadPoolExecutor) -> None:
        self._client, self._rig, self._threads = client, rig, threads
        self.env = ""

    def start(
        self, call: str, headers: dict[str, str] | None = None, **fake: float
    ) -> Future[httpx.Response]:
        """Begin a call of a slow environment; return once it runs."""
        self.env = create(self._client, spec("fake", hook=None, inline=False, **fake))
        if call != "reset":
            self._client.post(f"{self.env}/reset")
        return self.begin(call, headers)

    def begin(self, call: str, headers: dict[str, str] | None = None) -> Future[httpx.Response]:
        """Begin a call of the environment there is; return once it runs."""
        reply = self._threads.submit(self._client.post, f"{self.env}/{call}", json=TYPE, headers=headers)
        wait_until(lambda: self.live.running is not None)
        return reply

    @property
    def live(self) -> LiveEnv:
        return self._rig.host.snapshot()[self.env.rpartition("/")[2]]

    def post(self, call: str, **headers: str) -> httpx.Response:
        return self._client.post(f"{self.env}/{call}", json=TYPE, headers=headers)


@pytest.fixture
def stepping(client: httpx.Client, strict: Rig, threads: ThreadPoolExecutor) -> Iterator[Stepping]:
    stepping = Stepping(client, strict, threads)
    yield stepping
    stepping.post("close")


@pytest.mark.parametrize("second", ["step", "reset"])
@pytest.mark.parametrize(("first", "fake"), [("step", "step_delay_s"), ("reset", "create_delay_s")])
def test_a_second_step_or_reset_is_refused_with_the_firsts_id(
    stepping: Stepping, first: str, fake: str, second: str
) -> None:
    running = stepping.start(first, {"X-Request-ID": "the-first"}, **{fake: 600})
    refused = stepping.post(second)
    assert code(refused) == (409, "env_busy")
    assert (refused.json()["running_call"], refused.json()["running_request_id"]) == (first, "the-first")
    assert stepping.post("close").status_code == 200
    assert running.result().status_code in (404, 410, 502)


def test_a_refused_call_may_be_made_again_with_its_key(stepping: Stepping) -> None:
    running = stepping.start("step", {"Idempotency-Key": "one"}, step_delay_s=0.5)
    keyed = {"Idempotency-Key": "two"}
    assert code(stepping.post("step", **keyed)) == (409, "env_busy")
    assert running.result().json()["info"]["step"] == 0
    again = stepping.post("step", **keyed)
    assert (again.status_code, again.json()["info"]["step"]) == (200, 1)
    assert "idempotency-replayed" not in again.headers


def test_a_repetition_with_the_same_key_joins_the_running_step(stepping: Stepping) -> None:
    running = stepping.start("step", {"Idempotency-Key": "one"}, step_delay_s=0.5)
    joined = stepping.post("step", **{"Idempotency-Key": "one"})
    assert joined.headers["idempotency-replayed"] == "true"
    assert joined.content == running.result().content


def test_a_step_that_failed_leaves_the_environment_free(client: httpx.Client, env: str) -> None:
    assert client.post(f"{env}/step", json={"actions": [{"nonsense": 1}]}).status_code == 422
    assert client.post(f"{env}/step", json=TYPE).status_code == 200


def test_observations_and_other_calls_wait_for_the_step_that_runs(
    client: httpx.Client, stepping: Stepping
) -> None:
    running = stepping.start("step", step_delay_s=1)
    info = client.get(f"{stepping.env}/session_info")
    assert (info.status_code, stepping.live.running) == (200, None)
    assert running.result().status_code == 200
    again = stepping.begin("step")
    seen = stepping.post("capture_observation").json()["observation"]
    assert seen["cli_stdout"] == {"text": "2 actions"}
    assert again.result().status_code == 200


@pytest.mark.parametrize("call", ["step", "reset"])
def test_a_step_larger_than_the_limit_is_refused(client: httpx.Client, env: str, call: str) -> None:
    large = b'{"trajectory_metadata": {"a": "' + b"x" * STEP_BYTES + b'"}}'
    assert code(client.post(f"{env}/{call}", content=large)) == (413, "too_large")
    chunks = (large[at : at + 1000] for at in range(0, len(large), 1000))
    assert code(client.post(f"{env}/{call}", content=chunks)) == (413, "too_large")
    assert client.post(f"{env}/step", content=b" " * (STEP_BYTES - 2) + b"{}").status_code == 200


@pytest.mark.parametrize(
    ("path", "mib"), [("/envs/create", 8), ("trajectory_event", 1), ("episode_limits", 1), ("close", 1)]
)
def test_a_body_larger_than_its_call_takes_is_refused(
    client: httpx.Client, env: str, path: str, mib: int
) -> None:
    target = path if path.startswith("/") else f"{env}/{path}"
    body = b" " * (mib << 20) + b"{}"
    assert code(client.post(target, content=body, headers=JSON)) == (413, "too_large")
    assert client.post(f"{env}/step", json=TYPE).status_code == 200


@pytest.mark.parametrize("call", ["step", "reset", "trajectory_event", "episode_limits", "copy_to_env"])
@pytest.mark.parametrize(
    "body",
    [DEEP, b'{"event": {"a": ' + b"[" * 250 + b"]" * 250 + b"}}", b'{"a":' * 50_000 + b"1" + b"}" * 50_000],
)
def test_json_that_is_nested_deeply_is_malformed(client: httpx.Client, call: str, body: bytes) -> None:
    env = create(client)
    expected = [(413, "too_large")] if len(body) > STEP_BYTES and call in ("step", "reset") else []
    reply = client.post(f"{env}/{call}", content=body, headers=JSON)
    assert code(reply) in [(400, "malformed"), *expected]
    client.post(f"{env}/close")


def test_a_create_that_is_nested_deeply_is_malformed(client: httpx.Client, strict: Rig) -> None:
    nested = b'{"env_spec": {"x": ' + DEEP + b"}}"
    for body in (DEEP, nested):
        assert code(client.post("/envs/create", content=body, headers=JSON)) == (400, "malformed")
    assert not strict.live


@pytest.mark.parametrize(
    ("actions", "pause_s", "says"),
    [
        ([{"action": "screenshot"}] * 4, 0, "more than the 3"),
        ([{"action": "wait", "time": 1.5}], 0, "waits 1.5 s"),
        ([{"action": "wait"}, {"action": "wait", "seconds": 0.1}], 0, "waits 1.1 s"),
        ([{"action": "screenshot"}] * 3, 0.6, "waits 1.2 s"),
    ],
)
def test_a_step_that_asks_for_more_than_one_may_is_refused_before_it_begins(
    client: httpx.Client, env: str, actions: list[dict[str, Any]], pause_s: float, says: str
) -> None:
    reply = client.post(f"{env}/step", json={"actions": actions, "wait_between_actions": pause_s})
    assert code(reply) == (422, "action_invalid")
    assert says in reply.json()["error"]
    assert client.post(f"{env}/step", json=TYPE).json()["info"]["step"] == 0


@pytest.mark.parametrize("fetched_between", [True, False])
def test_of_an_episodes_frames_the_first_and_the_latest_are_kept(
    client: httpx.Client, env: str, fetched_between: bool
) -> None:
    for _ in range(4):
        client.post(f"{env}/step", json=TYPE)
        if fetched_between:
            client.get(f"{env}/episode_dir")
    folder = Path(client.get(f"{env}/episode_dir").json()["episode_dir"])
    kept = sorted(path.name for path in folder.glob("frame_*"))
    assert kept == ["frame_00000.png", "frame_00003.png", "frame_00004.png"]


@pytest.mark.parametrize("size", [COPY_BYTES, COPY_BYTES + 1])
def test_copies_have_a_quota(client: httpx.Client, env: str, size: int) -> None:
    folder = Path(client.get(f"{env}/episode_dir").json()["episode_dir"])
    (folder / "some").mkdir()
    (folder / "some/a").write_bytes(b"x" * 50)
    (folder / "some/b").write_bytes(b"x" * (size - 50))
    (folder / "file").write_bytes(b"x" * size)
    for source in ("some", "file"):
        reply = client.post(f"{env}/copy_to_env", json={"host_src": source, "container_dst": source})
        assert (reply.status_code, reply.json().get("code")) == (
            (200, None) if size == COPY_BYTES else (413, "too_large")
        )


def test_a_copy_out_of_the_sandbox_has_a_quota(client: httpx.Client) -> None:
    env = create(client, spec(hook=f"head -c {COPY_BYTES + 1} /dev/zero > large"))
    assert client.post(f"{env}/reset").status_code == 200
    reply = client.post(f"{env}/copy_from_env", json={"container_src": "large", "host_dst": "large"})
    assert code(reply) == (413, "too_large")
    client.post(f"{env}/close")


def test_the_limits_are_told_in_the_error(client: httpx.Client, env: str) -> None:
    reply = client.post(f"{env}/step", content=json.dumps({"actions": [{}] * 4}))
    assert reply.json()["max_actions"] == 3
