"""The worker's HTTP endpoint: every call of the wire's table, through a real server."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgpack
import pytest

from gym_queue.protocol.observations import MSGPACK_TYPE
from gym_queue.web.server import HttpServer, bind
from gym_queue.worker.http import WorkerIdentity, make_worker_app
from tests.service.worker.conftest import StartRig
from tests.service.worker.rig import Rig, spec
from tests.waiting import wait_until

TOKEN = "t0ken"
PNG = b"\x89PNG"
TYPE = {"actions": [{"keyboard": {"text": "x"}}]}


@pytest.fixture(scope="module")
def url(shared_rig: Rig) -> Iterator[str]:
    yield from serve(shared_rig)


def serve(rig: Rig) -> Iterator[str]:
    bound = bind("127.0.0.1", 0)
    address = f"http://127.0.0.1:{bound.getsockname()[1]}"
    identity = WorkerIdentity("w1", address, None, lambda: "none")
    server = HttpServer(make_worker_app(rig.host, identity, token=TOKEN), bound)
    rig.run(server.start())
    yield address
    rig.run(server.stop())


@pytest.fixture
def client(rig: Rig, url: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def env(client: httpx.Client) -> Iterator[str]:
    """The path of an environment whose episode runs."""
    path = create(client)
    assert client.post(f"{path}/reset").status_code == 200
    yield path
    client.post(f"{path}/close")


def create(client: httpx.Client, env_spec: dict[str, Any] | None = None, **fields: Any) -> str:
    reply = client.post("/envs/create", json={"env_spec": env_spec or spec(), **fields})
    assert reply.status_code == 201
    return f"/envs/{reply.json()['env_id']}"


def code(reply: httpx.Response) -> tuple[int, str]:
    """Return what an error's reply is, after checking its form."""
    body = reply.json()
    assert isinstance(body["error"], str)
    assert body["request_id"] == reply.headers["X-Request-ID"]
    return reply.status_code, body["code"]


def test_health_needs_no_token(client: httpx.Client, url: str) -> None:
    health = httpx.get(f"{url}/health").json()
    assert (health["status"], health["role"], health["worker_id"]) == ("healthy", "worker", "w1")
    assert (health["active_environments"], health["max_environments"]) == (0, 20)


def test_a_create_names_the_environment_its_worker_and_its_token(client: httpx.Client, url: str) -> None:
    asked = {"env_spec": spec(), "env_id": "chosen", "metadata": {"a": 1}}
    reply = client.post("/envs/create", json=asked)
    body = reply.json()
    assert (reply.status_code, body["env_id"], body["worker_id"], body["worker_url"]) == (
        201,
        "chosen",
        "w1",
        url,
    )
    assert client.post("/envs/create", json={**asked, "priority": 3}).json() == body
    other = client.post("/envs/create", json={"env_spec": spec(), "env_id": "chosen"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    listed = client.get("/envs/list").json()["environments"]
    assert listed["chosen"]["metadata"] == {"a": 1}
    assert listed["chosen"]["idle_seconds"] >= 0
    client.post("/envs/chosen/close")


def test_an_episode_from_reset_to_close(client: httpx.Client) -> None:
    env = create(client)
    assert client.get(f"{env}/session_info").json() == {"session": None}
    assert client.get(f"{env}/episode_dir").json() == {"episode_dir": None}
    reset = client.post(f"{env}/reset", json={"seed": 1}, headers={"X-Request-ID": "r-1"}).json()
    assert (reset["_request_id"], reset["_post_reset_policy"]) == ("r-1", "core")
    step = client.post(f"{env}/step", json=TYPE).json()
    assert (step["reward"], step["done"], step["info"]["step"]) == (0.0, False, 0)
    assert step["observation"]["cli_stdout"] == {"text": "1 actions"}
    assert set(client.post(f"{env}/capture_observation").json()["observation"]) == {"screen", "cli_stdout"}
    assert client.post(f"{env}/trajectory_event", json={"event": {"a": 1}}).json() == {"status": "logged"}
    limits = client.post(f"{env}/episode_limits", json={"max_steps": 5}).json()
    assert (limits["status"], limits["max_steps"]) == ("updated", 5)
    session = client.get(f"{env}/session_info").json()["session"]
    assert (session["runner_name"], session["resolution"]) == ("FakeRunner", [160, 120])
    assert client.post(f"{env}/step", json={"actions": [], "mark_done": True}).json()["done"] is True
    assert client.post(f"{env}/close").json() == {"status": "closed"}
    assert code(client.post(f"{env}/step", json=TYPE)) == (404, "env_not_found")


def test_a_json_observation_holds_a_path_that_can_be_fetched(client: httpx.Client, env: str) -> None:
    screen = client.post(f"{env}/step", json=TYPE).json()["observation"]["screen"]
    assert (screen["remote"], screen["resolution"]) == (True, [160, 120])
    assert "png_b64" not in screen
    fetched = client.get(f"{env}/fetch_path", params={"path": screen["path"]})
    assert fetched.content.startswith(PNG)
    assert "attachment" in fetched.headers["content-disposition"]


def test_an_inline_observation_holds_the_image(client: httpx.Client) -> None:
    env = create(client, spec(inline=True))
    screen = client.post(f"{env}/reset").json()["observation"]["screen"]
    assert base64.b64decode(screen["png_b64"]).startswith(PNG)
    client.post(f"{env}/close")


@pytest.mark.parametrize("call", ["reset", "step", "capture_observation"])
def test_msgpack_replies_hold_the_image_itself(client: httpx.Client, env: str, call: str) -> None:
    body = TYPE if call == "step" else {}
    reply = client.post(f"{env}/{call}", json=body, headers={"Accept": MSGPACK_TYPE})
    assert reply.headers["content-type"] == MSGPACK_TYPE
    assert msgpack.unpackb(reply.content)["observation"]["screen"]["png"].startswith(PNG)


def test_every_reply_says_its_request_and_how_long_it_took(client: httpx.Client, url: str) -> None:
    for reply in (client.get("/health", headers={"X-Request-ID": "abc"}), httpx.get(f"{url}/envs/list")):
        assert float(reply.headers["X-Worker-Processing-Time"]) >= 0
        assert reply.headers["X-Request-ID"]
    assert client.get("/health", headers={"X-Request-ID": "abc"}).headers["X-Request-ID"] == "abc"


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "/proc/self/environ",
        "link",
        "folder_link/passwd",
        "loop/../../../../sandbox",
    ],
)
def test_files_outside_the_episode_folder_are_not_served(client: httpx.Client, env: str, path: str) -> None:
    folder = Path(client.get(f"{env}/episode_dir").json()["episode_dir"])
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "folder_link").symlink_to("/etc")
    assert code(client.get(f"{env}/fetch_path", params={"path": path})) == (403, "forbidden")


@pytest.mark.parametrize(
    "path", ["missing", "", ".", "a" * 300, "nul\0", "\ud800".encode("utf-8", "surrogatepass")]
)
def test_paths_that_are_no_file_are_not_found(client: httpx.Client, env: str, path: str | bytes) -> None:
    assert code(client.get(f"{env}/fetch_path", params={"path": path})) == (404, "path_not_found")


def test_encoded_paths_reach_no_other_call(client: httpx.Client, env: str) -> None:
    for path in ("%2e%2e/%2e%2e/envs/list", "..%2f..%2fenvs%2flist", "fetch_path%3fpath=/etc/passwd"):
        assert client.get(f"{env}/{path}").status_code in (404, 405)


def test_looped_links_are_not_found(client: httpx.Client, env: str) -> None:
    folder = Path(client.get(f"{env}/episode_dir").json()["episode_dir"])
    (folder / "loop").symlink_to("loop")
    assert client.get(f"{env}/fetch_path", params={"path": "loop"}).status_code in (403, 404)


def test_copies_go_between_the_sandbox_and_the_episode_folder(client: httpx.Client, env: str) -> None:
    copies = [
        ("copy_to_env", {"host_src": "frame_00000.png", "container_dst": "in.png"}),
        ("copy_from_env", {"container_src": "in.png", "host_dst": "sub/out.png"}),
    ]
    for call, body in copies:
        assert client.post(f"{env}/{call}", json=body).json() == {"status": "copied"}
    assert client.get(f"{env}/fetch_path", params={"path": "sub/out.png"}).content.startswith(PNG)


def test_a_state_is_saved_and_loaded(client: httpx.Client, env: str) -> None:
    copy = {"host_src": "frame_00000.png", "container_dst": "before"}
    assert client.post(f"{env}/copy_to_env", json=copy).status_code == 200
    saved = client.post(f"{env}/save_state", json={"host_snapshot_path": "states/one"}).json()
    assert saved["snapshot_path"].endswith("states/one")
    assert client.post(f"{env}/copy_to_env", json={**copy, "container_dst": "after"}).status_code == 200
    loaded = client.post(f"{env}/load_state", json={"host_snapshot_path": saved["snapshot_path"]})
    assert loaded.json() == {"status": "loaded"}
    found = [
        client.post(f"{env}/copy_from_env", json={"container_src": name, "host_dst": name}).status_code
        for name in ("before", "after")
    ]
    assert found == [200, 404]
    assert client.post(f"{env}/save_state").json()["snapshot_path"].endswith(".json")


def test_a_reset_says_which_checkpoint_it_used(client: httpx.Client, env: str) -> None:
    body = {"use_cache": True, "cache_level": "post_start"}
    first = client.post(f"{env}/reset", json=body).json()["_checkpoint"]
    second = client.post(f"{env}/reset", json=body).json()["_checkpoint"]
    assert first["loaded"] in (None, "post_start")  # of another test's environment
    assert second == {"loaded": "post_start", "saved": []}


def test_a_reset_to_a_machine_that_runs_starts_from_one(client: httpx.Client, env: str) -> None:
    body = {"use_savevm": True, "cache_level": "post_start"}
    client.post(f"{env}/reset", json=body)
    second = client.post(f"{env}/reset", json=body).json()["_checkpoint"]
    assert second == {"loaded": "post_start", "saved": [], "machine": True}


@pytest.mark.parametrize(
    ("call", "body", "expected"),
    [
        ("save_state", {"host_snapshot_path": "/etc/x"}, (403, "forbidden")),
        ("save_state", {"host_snapshot_path": 5}, (422, "request_invalid")),
        ("load_state", {"host_snapshot_path": "/etc/passwd"}, (403, "forbidden")),
        ("load_state", {"host_snapshot_path": "missing"}, (404, "path_not_found")),
        ("load_state", {"host_snapshot_path": "traj.jsonl"}, (422, "request_invalid")),
        ("load_state", {"host_snapshot_path": "frame_00000.png"}, (422, "request_invalid")),
        ("load_state", {}, (422, "request_invalid")),
        ("copy_to_env", {"host_src": "/etc/passwd", "container_dst": "x"}, (403, "forbidden")),
        ("copy_to_env", {"host_src": "../../..", "container_dst": "x"}, (403, "forbidden")),
        ("copy_to_env", {"host_src": "frame_00000.png", "container_dst": "/etc/x"}, (403, "forbidden")),
        ("copy_to_env", {"host_src": "missing", "container_dst": "x"}, (404, "path_not_found")),
        (
            "copy_to_env",
            {"host_src": "frame_00000.png", "container_dst": "a" * 300},
            (422, "request_invalid"),
        ),
        ("copy_from_env", {"container_src": "/etc/passwd", "host_dst": "x"}, (403, "forbidden")),
        ("copy_from_env", {"container_src": ".", "host_dst": "/tmp/x"}, (403, "forbidden")),
        ("copy_from_env", {"container_src": "missing", "host_dst": "x"}, (404, "path_not_found")),
        ("copy_from_env", {"container_src": ".", "host_dst": "traj.jsonl"}, (422, "request_invalid")),
    ],
)
def test_copies_are_confined(
    client: httpx.Client, env: str, call: str, body: dict[str, str], expected: tuple[int, str]
) -> None:
    assert code(client.post(f"{env}/{call}", json=body)) == expected
    assert not Path("/etc/x").exists()


def test_an_environments_token_opens_that_environment_alone(client: httpx.Client, url: str, env: str) -> None:
    own = client.post("/envs/create", json={"env_spec": spec(), "env_id": "own"}).json()["env_token"]
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {own}"}, trust_env=False) as guest:
        assert guest.post("/envs/own/reset").status_code == 200
        for path in (f"{env}/step", "/envs/create", "/envs/own/../create", "/envs/none/step"):
            assert guest.post(path, json=TYPE).status_code == 401
        assert guest.get("/envs/list").status_code == 401
        assert guest.post("/envs/own/close").status_code == 200
        assert guest.post("/envs/own/reset").status_code == 401


@pytest.mark.parametrize("token", ["wrong", "t0ken0", "ÿ"])
def test_wrong_tokens_open_nothing(url: str, token: str) -> None:
    headers = [(b"Authorization", f"Bearer {token}".encode("latin-1"))]
    assert httpx.post(f"{url}/envs/create", json={"env_spec": spec()}, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (400, "malformed")),
        (b"[]", (422, "request_invalid")),
        (b'{"env_spec": {}}', (422, "spec_invalid")),
        (b"{}", (422, "request_invalid")),
        (b'{"env_dir": "no_such_env"}', (404, "spec_not_found")),
        (b'{"env_dir": "/proc/self/mem"}', (404, "spec_not_found")),
        (b'{"env_dir": "terminal_env", "env_id": "../x"}', (422, "request_invalid")),
    ],
)
def test_a_bad_create_is_the_callers_error(
    client: httpx.Client, body: bytes, expected: tuple[int, str]
) -> None:
    headers = {"Content-Type": "application/json"}
    assert code(client.post("/envs/create", content=body, headers=headers)) == expected


@pytest.mark.parametrize(
    ("call", "body", "expected"),
    [
        ("step", b"{", (400, "malformed")),
        ("step", b'{"actions": [{"mouse": {"hover": 1}}]}', (422, "action_invalid")),
        ("step", b'{"actions": 1}', (422, "request_invalid")),
        ("reset", b'{"use_savevm": 1}', (422, "request_invalid")),
        ("reset", b'{"seed": "x"}', (422, "request_invalid")),
        ("trajectory_event", b'{"event": {"a": "\\ud800"}}', (422, "request_invalid")),
        (
            "trajectory_event",
            b'{"event": {"a": ' + b"[" * 2000 + b"]" * 2000 + b"}}",
            (400, "malformed"),
        ),
        ("pause_recording", b"", (422, "not_supported")),
        ("resume_recording", b"", (422, "not_supported")),
        ("unheard_of", b"", (404, "not_found")),
    ],
)
def test_a_bad_call_is_the_callers_error(
    client: httpx.Client, env: str, call: str, body: bytes, expected: tuple[int, str]
) -> None:
    headers = {"Content-Type": "application/json"}
    assert code(client.post(f"{env}/{call}", content=body, headers=headers)) == expected
    assert client.post(f"{env}/step", json=TYPE).status_code == 200


def test_calls_of_one_environment_run_one_after_the_other(client: httpx.Client, env: str) -> None:
    calls = ["step", *["capture_observation"] * 7] * 3
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda call: client.post(f"{env}/{call}", json=TYPE), calls))
    taken = sum(
        reply.status_code == 200 for reply, call in zip(replies, calls, strict=True) if call == "step"
    )
    assert {reply.status_code for reply in replies} <= {200, 409}
    assert client.post(f"{env}/step", json=TYPE).json()["info"]["step"] == taken


def test_a_step_in_one_environment_does_not_wait_for_another(client: httpx.Client, env: str) -> None:
    slow = create(client, spec(step_delay_s=600))
    client.post(f"{slow}/reset")
    with ThreadPoolExecutor(1) as threads:
        stuck = threads.submit(client.post, f"{slow}/step", json=TYPE)
        assert client.post(f"{env}/step", json=TYPE).status_code == 200
        assert not stuck.done()
        assert client.post(f"{slow}/close").status_code == 200
        assert stuck.result().status_code in (404, 410, 502)


def test_a_hung_environment_is_a_504_and_a_dead_one_a_410(start_rig: StartRig) -> None:
    rig = start_rig(call_timeout_s=0.4)
    for url in serve(rig):
        with httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30, trust_env=False
        ) as client:
            env = create(client, spec(step_delay_s=600), env_id="hung")
            client.post(f"{env}/reset")
            assert code(client.post(f"{env}/step", json=TYPE)) == (504, "env_timeout")
            env = create(client, env_id="dead")
            client.post(f"{env}/reset")
            os.kill(rig.host.get("dead").process.pid, 9)  # type: ignore[union-attr]
            assert code(client.post(f"{env}/step", json=TYPE)) in [(410, "env_lost"), (404, "env_not_found")]
            wait_until(lambda: rig.live == set())


def test_a_full_worker_says_503_and_when_to_come_back(start_rig: StartRig) -> None:
    rig = start_rig(max_envs=1)
    for url in serve(rig):
        with httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30, trust_env=False
        ) as client:
            create(client)
            reply = client.post("/envs/create", json={"env_spec": spec()})
            assert code(reply) == (503, "no_capacity")
            assert reply.headers["Retry-After"] == "1"
