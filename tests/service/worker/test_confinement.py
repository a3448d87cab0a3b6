"""What of its host a worker hands out, and to whom: paths, env folders, privileges, hostile verifiers."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from gym_queue.specs.security import HostPolicy
from gym_queue.verifiers import VerifierLimits
from gym_queue.verifiers.cage import landlock_version
from gym_queue.web.server import HttpServer, bind
from gym_queue.worker.http import WorkerIdentity, make_worker_app
from gym_queue.worker.live import HostLimits
from tests.service.worker.programs import WorkerProgram
from tests.service.worker.rig import Mark, Rig, spec
from tests.service.worker.test_http import code
from tests.waiting import wait_until

SECRET = "tok-in-a-file"


class Site:
    """A worker with one root for environments and one allowed folder, and a token file beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.root, self.allowed = self.folder / "root", self.folder / "allowed"
        for each in (self.root, self.allowed, self.root / "mine", self.folder / "elsewhere"):
            each.mkdir()
        for env in (self.root / "mine", self.folder / "elsewhere"):
            (env / "env.json").write_text(json.dumps(spec()))
        (self.root / "out").symlink_to(self.folder / "elsewhere")
        self.token_file = self.folder / "token"
        self.token_file.write_text(SECRET)
        (self.allowed / "given.txt").write_text("given")

    def policy(self) -> HostPolicy:
        return HostPolicy(env_roots=(self.root,), allow_paths=(self.allowed,), allow_privileged=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def client(site: Site) -> Iterator[httpx.Client]:
    limits = HostLimits(
        8, 3600, 30, host_policy=site.policy(), verifier_limits=VerifierLimits(timeout_s=2, processes=24)
    )
    rig = Rig(site.folder / "w", limits)
    rig.start()
    bound = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    server = HttpServer(
        make_worker_app(rig.host, WorkerIdentity("w1", url, None, lambda: "none"), token=None), bound
    )
    rig.run(server.start())
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield client
    rig.run(server.stop())
    rig.stop()
    assert not rig.work_dir.exists()


@pytest.fixture
def env(client: httpx.Client) -> Iterator[str]:
    reply = client.post("/envs/create", json={"env_spec": spec()})
    path = f"/envs/{reply.json()['env_id']}"
    assert client.post(f"{path}/reset").status_code == 200
    yield path
    assert client.post(f"{path}/close").status_code == 200


@pytest.fixture
def episode(client: httpx.Client, env: str) -> Path:
    return Path(client.get(f"{env}/episode_dir").json()["episode_dir"])


def fetch(client: httpx.Client, env: str, path: str, **headers: str) -> httpx.Response:
    return client.get(f"{env}/fetch_path", params={"path": path}, headers=headers)


@pytest.mark.parametrize(
    "path",
    [
        "../../sandbox", "a/../../../x", "/etc/passwd", "/proc/self/environ", "/dev/zero", "/dev/stdin",
        "link", "folder/passwd", "chain", "to_proc", "..%2f..%2f..", "%2e%2e/%2e%2e/etc/passwd",
    ],
)  # fmt: skip
def test_nothing_outside_the_episode_folder_is_served(
    client: httpx.Client, env: str, episode: Path, path: str
) -> None:
    (episode / "link").symlink_to("/etc/passwd")
    (episode / "chain").symlink_to("link")
    (episode / "folder").symlink_to("/etc")
    (episode / "to_proc").symlink_to("/proc/self/environ")
    reply = fetch(client, env, path)
    assert code(reply) in [(403, "forbidden"), (404, "path_not_found")]
    raw = client.get(f"{env}/fetch_path?path={path}")  # as it is written, and decoded once
    assert code(raw) in [(403, "forbidden"), (404, "path_not_found")]


def test_what_is_no_regular_file_is_refused_without_waiting(
    client: httpx.Client, env: str, episode: Path
) -> None:
    os.mkfifo(episode / "fifo")
    (episode / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(episode)  # a socket's path is short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        for name in ("fifo", "folder", "socket"):
            assert code(fetch(client, env, name)) == (404, "path_not_found")
        assert code(copy_in(client, env, "fifo")) == (403, "forbidden")
        assert code(copy_in(client, env, "socket")) == (403, "forbidden")


def copy_in(client: httpx.Client, env: str, source: str) -> httpx.Response:
    return client.post(f"{env}/copy_to_env", json={"host_src": source, "container_dst": "x"})


def test_a_link_that_stays_inside_is_followed(client: httpx.Client, env: str, episode: Path) -> None:
    (episode / "data.txt").write_text("data")
    (episode / "inner").symlink_to("data.txt")
    assert fetch(client, env, "inner").text == "data"


@pytest.mark.parametrize(
    "name",
    ["a b.txt", 'quo"te', "semi;colon", "new\nline", "cr\r\nX-Evil: 1", "naïve.png", "日本.txt", "\x01", "back\\slash", "%0d%0a"],
)  # fmt: skip
def test_no_file_name_breaks_a_header(client: httpx.Client, env: str, episode: Path, name: str) -> None:
    (episode / name).write_bytes(b"content")
    reply = fetch(client, env, name)
    assert (reply.status_code, reply.content) == (200, b"content")
    given = reply.headers["content-disposition"]
    assert given.startswith('attachment; filename="')
    assert given.isascii()
    assert given.isprintable()
    assert given.count('"') == 2
    assert "x-evil" not in reply.headers
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=4-", 206, b"456789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=8-100", 206, b"89"),
        ("bytes=-100", 200, b"0123456789"),
        ("bytes=10-", 200, b"0123456789"),
        ("bytes=5-2", 200, b"0123456789"),
        ("bytes=0-1,4-5", 200, b"0123456789"),
        ("bytes=-", 200, b"0123456789"),
        ("lines=0-3", 200, b"0123456789"),
        ("bytes=99999999999999999999-", 200, b"0123456789"),
    ],
)
def test_a_range_of_a_file_can_be_fetched(
    client: httpx.Client, env: str, episode: Path, asked: str, status: int, content: bytes
) -> None:
    (episode / "digits").write_bytes(b"0123456789")
    reply = fetch(client, env, "digits", Range=asked)
    assert (reply.status_code, reply.content) == (status, content)
    assert ("content-range" in reply.headers) == (status == 206)


def test_head_says_what_get_would_send(client: httpx.Client, env: str, episode: Path) -> None:
    (episode / "large").write_bytes(b"x" * 1_000_000)
    reply = client.head(f"{env}/fetch_path", params={"path": "large"})
    assert (reply.status_code, reply.headers["content-length"], reply.content) == (200, "1000000", b"")
    assert fetch(client, env, "large").content == b"x" * 1_000_000
    (episode / "empty").touch()
    assert fetch(client, env, "empty").content == b""


def test_serving_leaves_no_descriptor_open(client: httpx.Client, env: str, episode: Path) -> None:
    (episode / "file").write_bytes(b"x" * 1_000_000)

    def held() -> int:
        return sum(os.path.realpath(fd) == str(episode / "file") for fd in Path("/proc/self/fd").iterdir())

    for _ in range(5):
        fetch(client, env, "file")
        fetch(client, env, "file", Range="bytes=0-1")
        client.head(f"{env}/fetch_path", params={"path": "file"})
    wait_until(lambda: held() == 0)  # a reply may be read before the worker is done with its file


def test_files_of_allowed_folders_can_be_copied_by_path(client: httpx.Client, env: str, site: Site) -> None:
    assert copy_in(client, env, str(site.allowed / "given.txt")).json() == {"status": "copied"}
    body = {"container_src": "x", "host_dst": str(site.allowed / "back.txt")}
    assert client.post(f"{env}/copy_from_env", json=body).json() == {"status": "copied"}
    assert (site.allowed / "back.txt").read_text() == "given"
    assert code(fetch(client, env, str(site.allowed / "given.txt"))) == (403, "forbidden")


@pytest.mark.parametrize("path", ["{allowed}/../token", "{allowed}/link", "{token}", "/proc/self/environ"])
def test_allowed_folders_lead_nowhere_else(client: httpx.Client, env: str, site: Site, path: str) -> None:
    link = site.allowed / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(site.token_file)
    where = path.format(allowed=site.allowed, token=site.token_file)
    assert code(copy_in(client, env, where)) == (403, "forbidden")
    body = {"container_src": ".", "host_dst": where}
    assert code(client.post(f"{env}/copy_from_env", json=body)) == (403, "forbidden")


def create(client: httpx.Client, **fields: Any) -> httpx.Response:
    reply = client.post("/envs/create", json=fields)
    if reply.status_code == 201:
        client.post(f"/envs/{reply.json()['env_id']}/close")
    return reply


@pytest.mark.parametrize(
    "path", ["{folder}/elsewhere", "{root}/out", "{root}/../elsewhere", "/etc", "/proc/self", "/no/such", "elsewhere"]
)  # fmt: skip
def test_env_folders_come_from_the_allowed_roots_alone(client: httpx.Client, site: Site, path: str) -> None:
    where = path.format(folder=site.folder, root=site.root)
    assert code(create(client, env_dir=where)) == (403, "forbidden")


def test_env_folders_of_a_root_and_shipped_ones_are_opened(client: httpx.Client, site: Site) -> None:
    assert create(client, env_dir=str(site.root / "mine")).status_code == 201
    assert create(client, env_dir="terminal_env", task_id="largest_file", runner="fake").status_code == 201
    assert code(create(client, env_dir=str(site.root / "none"))) == (404, "spec_not_found")


@pytest.mark.parametrize("source", ["{token}", "/etc/passwd", "/no/such", "../../../../../../../etc/passwd"])
@pytest.mark.parametrize("runner", ["local", "fake"])
def test_no_spec_mounts_what_lies_elsewhere(
    client: httpx.Client, site: Site, source: str, runner: str
) -> None:
    asked = spec(runner) | {"mounts": [{"source": source.format(token=site.token_file), "target": "x"}]}
    assert code(create(client, env_spec=asked)) == (403, "forbidden")


def test_specs_mount_from_roots_and_allowed_folders(client: httpx.Client, site: Site) -> None:
    for source in (site.allowed / "given.txt", site.root / "mine" / "env.json"):
        asked = spec("local") | {"mounts": [{"source": str(source), "target": "x"}]}
        assert create(client, env_spec=asked).status_code == 201


def write_task(site: Site, lines: str) -> dict[str, str]:
    """Write a task with a verifier of these lines, and return what a create names it by."""
    task = site.root / "mine" / "tasks" / "t"
    task.mkdir(parents=True, exist_ok=True)
    text = {"id": "t", "success": {"mode": "program", "spec": {"program": "verifier.py::check"}}}
    (task / "task.json").write_text(json.dumps(text))
    (task / "verifier.py").write_text(
        f"import os, time\ndef check(traj, env_info, task_info):\n    {lines}\n"
    )
    return {"env_dir": str(site.root / "mine"), "task_id": "t"}


def judged(client: httpx.Client, site: Site, lines: str) -> httpx.Response:
    """Return the last step of an episode that a verifier of these lines judges."""
    made = client.post("/envs/create", json=write_task(site, lines))
    env = f"/envs/{made.json()['env_id']}"
    assert client.post(f"{env}/reset").status_code == 200
    reply = client.post(f"{env}/step", json={"actions": [], "mark_done": True})
    assert client.post(f"{env}/reset").status_code == 200  # whatever it did, the environment serves on
    assert client.post(f"{env}/close").status_code == 200
    return reply


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("while True: os.fork()", ""),
        ("time.sleep(1000)", "ran longer than its 2 s"),
        ("os._exit(0)", "exited before"),
        ("raise SystemExit(0)", "SystemExit"),
        ("raise ValueError('\\ud800')", "ValueError: ?"),
        ("return {'passed': True, 'x': '\\ud800'}", "not Unicode"),
        ("return {'passed': True, 'x': 10 ** 30}", "64 bits"),
        ("os.kill(os.getppid(), 9); time.sleep(1000)", ""),
        ("return {'passed': True, 'score': float('nan')}", "score nan"),
        ("return {'passed': 'yes'}", "must return a dict"),
        ("[os.write(1, b'x' * (1 << 20)) for _ in range(100)]; os._exit(1)", "exited before"),
    ],
)
def test_a_verifier_that_misbehaves_is_a_typed_error_and_no_pass(
    client: httpx.Client, site: Site, lines: str, reason: str
) -> None:
    reply = judged(client, site, lines)
    assert code(reply) == (422, "verifier_failed")
    assert reason in reply.json()["error"]


def test_an_environment_can_be_closed_while_its_verifier_runs(
    client: httpx.Client, site: Site, mark: Mark
) -> None:
    path = write_task(site, f"os.system('(setsid sleep {mark.text} &) ; sleep {mark.text}')")
    env = f"/envs/{client.post('/envs/create', json=path).json()['env_id']}"
    assert client.post(f"{env}/reset").status_code == 200
    with ThreadPoolExecutor(1) as threads:
        judging = threads.submit(client.post, f"{env}/step", json={"actions": [], "mark_done": True})
        wait_until(lambda: mark.count() == 2)
        assert client.post(f"{env}/close").status_code == 200
        assert judging.result().status_code in (404, 410, 422)
    assert mark.count() == 0


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_a_verifier_cannot_read_the_token_file(client: httpx.Client, site: Site) -> None:
    reply = judged(client, site, f"open({str(site.token_file)!r}).read()")
    assert code(reply) == (422, "verifier_failed")
    assert SECRET not in reply.text


def test_a_worker_takes_environments_from_where_it_was_started_or_where_it_is_told(
    short_dir: Path, site: Site
) -> None:
    settings = {"env_roots": [str(site.root)]}
    with WorkerProgram(short_dir / "tmp", **settings) as worker, worker.wait_ready() as client:
        assert create(client, env_dir=str(site.root / "mine")).status_code == 201
        assert create(client, env_dir="terminal_env", runner="fake").status_code == 201
        assert code(create(client, env_dir=str(Path.cwd()))) == (403, "forbidden")
    with WorkerProgram(short_dir / "tmp2") as worker, worker.wait_ready() as client:
        assert create(client, env_dir="gym_queue/environments/terminal_env", runner="fake").status_code == 201
        assert code(create(client, env_dir=str(site.root / "mine"))) == (403, "forbidden")
