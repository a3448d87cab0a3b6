"""Files into sandboxes and out of them over a worker's HTTP endpoint, as bytes where clients do not say it otherwise."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from gym_queue.env.bounds import EpisodeBounds
from gym_queue.web.door import Door
from gym_queue.web.limits import DoorLimits
from gym_queue.web.server import HttpServer, bind
from gym_queue.worker.http import WorkerIdentity, make_worker_app
from gym_queue.worker.live import HostLimits
from tests.service.worker.rig import Rig, spec
from tests.service.worker.test_http import code
from tests.waiting import wait_until

QUOTA = 3 << 20
NAMES = [
    "a b",
    "é/日本語.txt",
    "-rf",
    "$(id)`id`'\"",
    "line\nbreak",
    "%2e%2e",
    "a+b&path=c",
    "x" * 255,
    "#?;",
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    limits = HostLimits(8, 3600, 30, episode_bounds=EpisodeBounds(copy_bytes=QUOTA))
    rig = Rig(Path(os.path.realpath(tmp_path_factory.mktemp("w"))) / "w", limits)
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def client(rig: Rig) -> Iterator[httpx.Client]:
    bound = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    app = make_worker_app(rig.host, WorkerIdentity("w1", url, None, lambda: "none"), token=None)
    door = Door(DoorLimits(sweep_s=0.02, body_s=0.1))
    server = HttpServer(app, bound, protocol=door.protocol())
    rig.run(server.start())
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield client
    rig.run(server.stop())


@pytest.fixture
def env(client: httpx.Client) -> Iterator[str]:
    path = f"/envs/{client.post('/envs/create', json={'env_spec': spec()}).json()['env_id']}"
    assert client.post(f"{path}/reset").status_code == 200
    yield path
    assert client.post(f"{path}/close").status_code == 200


@pytest.fixture
def home(rig: Rig, env: str) -> Path:
    return folder_of(rig, env) / "sandbox" / "home"


def folder_of(rig: Rig, env: str) -> Path:
    return rig.work_dir / "envs" / env.split("/")[2]


def staged(rig: Rig, env: str) -> list[Path]:
    """Return what is on its way, or was left there."""
    return list(folder_of(rig, env).glob("transfer-*"))


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def put(client: httpx.Client, env: str, path: str, content: bytes = b"hello") -> httpx.Response:
    return client.put(f"{env}/files", params={"path": path}, content=content)


def get(client: httpx.Client, env: str, path: str, **headers: str) -> httpx.Response:
    return client.get(f"{env}/files", params={"path": path}, headers=headers)


def test_a_file_goes_in_and_comes_out(client: httpx.Client, env: str, home: Path, rig: Rig) -> None:
    content = os.urandom(2_500_000)
    reply = put(client, env, "new/folder/data.bin", content)
    assert (reply.status_code, reply.json()) == (200, {"status": "copied", "size_bytes": 2_500_000})
    put_there = home / "new" / "folder" / "data.bin"
    assert put_there.read_bytes() == content
    assert stat.S_IMODE(put_there.stat().st_mode) == 0o644
    back = get(client, env, str(put_there))
    assert back.content == content
    assert back.headers["Content-Disposition"] == 'attachment; filename="data.bin"'
    assert names(put_there.parent) == ["data.bin"]
    assert staged(rig, env) == []


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_characters_are_kept(client: httpx.Client, env: str, home: Path, name: str) -> None:
    assert put(client, env, name).status_code == 200
    assert (home / name).read_bytes() == b"hello"
    assert get(client, env, f"~/{name}").content == b"hello"


def test_a_file_that_is_there_is_replaced_and_a_link_not_followed(
    client: httpx.Client, env: str, home: Path
) -> None:
    (home / "old").write_text("old")
    (home / "link").symlink_to("old")
    assert [put(client, env, name, b"").status_code for name in ("link", "empty")] == [200, 200]
    assert ((home / "old").read_text(), (home / "link").is_symlink()) == ("old", False)
    assert get(client, env, "empty").content == b""


def test_chunked_bodies_and_ranges_are_served(client: httpx.Client, env: str) -> None:
    parts = client.put(f"{env}/files", params={"path": "f"}, content=iter([b"01234", b"", b"56789"]))
    assert parts.json()["size_bytes"] == 10
    reply = get(client, env, "f", Range="bytes=2-4")
    assert (reply.status_code, reply.content, reply.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    head = client.head(f"{env}/files", params={"path": "f"})
    assert (head.headers["Content-Length"], head.content) == ("10", b"")


@pytest.mark.parametrize("path", ["", ".", "~", "~/", "folder", "folder/", "a/..", "/"])
def test_folders_are_not_sent(client: httpx.Client, env: str, home: Path, rig: Rig, path: str) -> None:
    (home / "folder").mkdir()
    assert code(put(client, env, path)) in [(422, "not_supported"), (403, "forbidden")]
    assert code(get(client, env, path)) in [(422, "not_supported"), (403, "forbidden")]
    assert names(home) == ["folder"]
    assert names(home / "folder") == []
    assert staged(rig, env) == []


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "/etc/passwd", "/tmp/x", "out/x", "/proc/self/environ", "stray", "~/../x", "a\0b"],
)
def test_nothing_outside_the_sandbox_is_written_or_read(
    client: httpx.Client, env: str, home: Path, tmp_path: Path, path: str
) -> None:
    (tmp_path / "x").write_text("theirs")
    (home / "out").symlink_to(tmp_path)
    (home / "stray").symlink_to(tmp_path / "x")
    for reply in (put(client, env, path), get(client, env, path)):
        assert code(reply) in [(403, "forbidden"), (404, "path_not_found")]
    assert (tmp_path / "x").read_text() == "theirs"


def test_what_is_no_file_is_not_read(client: httpx.Client, env: str, home: Path) -> None:
    os.mkfifo(home / "fifo")
    (home / "file").touch()
    for path in ("nothing", "fifo", "file/below", "x" * 256, "y/" * 2000 + "z"):
        assert code(get(client, env, path)) in [(404, "path_not_found"), (403, "forbidden")]
    for path in ("file/below", "x" * 256, "y/" * 2000 + "z"):
        assert code(put(client, env, path)) in [(404, "path_not_found"), (403, "forbidden")]


def test_the_path_is_needed_and_bounded(client: httpx.Client, env: str) -> None:
    for method in ("PUT", "GET"):
        assert code(client.request(method, f"{env}/files")) == (422, "request_invalid")
        long = client.request(method, f"{env}/files", params={"path": "x" * 4097})
        assert code(long) == (422, "request_invalid")
    assert code(client.post(f"{env}/files", params={"path": "x"})) == (405, "method_not_allowed")


def test_states_are_those_of_other_calls(client: httpx.Client, rig: Rig) -> None:
    path = f"/envs/{client.post('/envs/create', json={'env_spec': spec()}).json()['env_id']}"
    for reply in (put(client, path, "x"), get(client, path, "x")):
        assert code(reply) == (409, "env_state")
    assert staged(rig, path) == []
    client.post(f"{path}/close")
    for gone in (path, "/envs/never"):
        for reply in (put(client, gone, "x"), get(client, gone, "x")):
            assert code(reply) == (404, "env_not_found")


def test_a_file_above_the_quota_is_refused_by_its_length_before_it_is_sent(
    client: httpx.Client, env: str, rig: Rig
) -> None:
    with begun(client, env, "big", b"Content-Length: %d\r\n" % (QUOTA + 1)) as sock:
        assert sock.makefile("rb").readline().split()[1] == b"413"
    assert staged(rig, env) == []


def test_a_file_above_the_quota_is_refused_while_it_comes(
    client: httpx.Client, env: str, home: Path, rig: Rig
) -> None:
    reply = client.put(f"{env}/files", params={"path": "big"}, content=iter([b"x" * (1 << 20)] * 4))
    assert code(reply) == (413, "too_large")
    assert reply.json()["max_bytes"] == QUOTA
    assert (names(home), staged(rig, env)) == ([], [])
    assert put(client, env, "fits", b"x" * QUOTA).status_code == 200


def test_files_that_come_in_at_once_share_the_quota(client: httpx.Client, env: str, rig: Rig) -> None:
    with begun(client, env, "first", b"Content-Length: %d\r\n" % QUOTA) as sock:
        sock.sendall(b"x" * (2 << 20))
        live = rig.host.snapshot()[env.split("/")[2]]
        wait_until(lambda: live.incoming_bytes == 2 << 20)
        assert code(put(client, env, "second", b"x" * (2 << 20))) == (413, "too_large")
    wait_until(lambda: live.incoming_bytes == 0)
    assert put(client, env, "second", b"x" * (2 << 20)).status_code == 200


def test_an_upload_that_is_broken_off_leaves_nothing(
    client: httpx.Client, env: str, home: Path, rig: Rig
) -> None:
    (home / "kept").write_text("as it was")
    with begun(client, env, "kept", b"Content-Length: 2000000\r\n") as sock:
        sock.sendall(b"x" * 1_500_000)
        wait_until(lambda: any(each.stat().st_size for each in folder_of(rig, env).glob("transfer-*/kept")))
    wait_until(lambda: not staged(rig, env))
    assert (home / "kept").read_text() == "as it was"
    assert names(home) == ["kept"]


def test_a_file_may_take_longer_than_other_bodies_may(client: httpx.Client, env: str, rig: Rig) -> None:
    with begun(client, env, "slow", b"Content-Length: 3\r\n") as sock:
        sock.sendall(b"ab")
        wait_until(lambda: staged(rig, env))
        with begun(client, env, "late", b"Content-Length: 3\r\n", call=b"POST %b/copy_to_env") as other:
            assert other.makefile("rb").readline().split()[1] == b"408"  # which came later, and is given up
        sock.sendall(b"c")
        assert sock.makefile("rb").readline().split()[1] == b"200"


def test_closing_an_environment_ends_its_uploads(client: httpx.Client, rig: Rig) -> None:
    path = f"/envs/{client.post('/envs/create', json={'env_spec': spec()}).json()['env_id']}"
    client.post(f"{path}/reset")
    with begun(client, path, "f", b"Content-Length: 2000000\r\n") as sock:
        sock.sendall(b"x" * 1000)
        wait_until(lambda: staged(rig, path))
        assert client.post(f"{path}/close").status_code == 200
        sock.sendall(b"x" * 1_999_000)
        assert sock.makefile("rb").readline().split()[1] == b"404"
    wait_until(lambda: not folder_of(rig, path).exists())


def begun(
    client: httpx.Client, env: str, path: str, heads: bytes, call: bytes = b"PUT %b/files"
) -> socket.socket:
    """Return a connection on which a request's head was sent."""
    where = urlsplit(str(client.base_url))
    sock = socket.create_connection((where.hostname, where.port), 10)
    sock.sendall(
        call % env.encode() + b"?path=%b HTTP/1.1\r\nHost: w\r\n%b\r\n" % (quote(path).encode(), heads)
    )
    return sock
