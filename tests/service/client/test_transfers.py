"""Files from the client's disk into a sandbox and back: both clients against a real worker, and the local one."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from gym_queue.client import AsyncRemoteGymEnv, RemoteGymEnv
from gym_queue.client.calls import put_file
from gym_queue.client.transport import Transport
from gym_queue.env.bounds import EpisodeBounds
from gym_queue.env.local import LocalGymEnv, make
from gym_queue.errors import EnvState, Forbidden, NotSupported, PathNotFound, RequestInvalid, TooLarge
from tests.service.client.conftest import ENV, TOKEN, Open

Surface = RemoteGymEnv | LocalGymEnv
CONTENT = os.urandom(3_000_001)


@pytest.fixture(params=["remote", "local"])
def env(request: pytest.FixtureRequest, open_env: Open) -> Iterator[Surface]:
    found: Surface = open_env() if request.param == "remote" else make(ENV)
    found.reset()
    yield found
    found.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(CONTENT)
    return path


def test_a_file_goes_in_and_comes_out(env: Surface, source: Path, tmp_path: Path) -> None:
    env.upload(source, "a folder/é ü.bin")
    env.download("~/a folder/é ü.bin", tmp_path / "made" / "back.bin")
    assert (tmp_path / "made" / "back.bin").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["back.bin"]
    source.write_bytes(b"")
    env.upload(str(source), "a folder/é ü.bin")
    env.download("a folder/é ü.bin", str(tmp_path / "made" / "back.bin"))
    assert (tmp_path / "made" / "back.bin").read_bytes() == b""


def test_what_cannot_be_sent_is_a_typed_error(env: Surface, source: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    wrong: list[tuple[Callable[[], None], type[Exception]]] = [
        (lambda: env.upload(tmp_path / "nothing", "x"), PathNotFound),
        (lambda: env.upload(tmp_path, "x"), RequestInvalid),
        (lambda: env.upload(tmp_path / "fifo", "x"), RequestInvalid),
        (lambda: env.upload(source, "folder/"), NotSupported),
        (lambda: env.upload(source, "../x"), Forbidden),
        (lambda: env.download("../x", tmp_path / "x"), Forbidden),
        (lambda: env.download("nothing", tmp_path / "x"), PathNotFound),
        (lambda: env.download(".", tmp_path / "x"), NotSupported),
        (lambda: env.download("nothing", tmp_path), RequestInvalid),
        (lambda: env.download("nothing", source / "x"), RequestInvalid),
    ]
    for call, error in wrong:
        with pytest.raises(error):
            call()
    assert not (tmp_path / "x").exists()
    env.close()
    with pytest.raises(EnvState):
        env.upload(source, "x")


def test_a_name_that_is_no_text_cannot_be_sent(open_env: Open, source: Path) -> None:
    env = open_env()
    with pytest.raises(RequestInvalid):
        env.upload(source, "\udce9")


def test_asyncio_clients_send_and_get_files(worker_url: str, source: Path, tmp_path: Path) -> None:
    async def there_and_back() -> None:
        async with await AsyncRemoteGymEnv.make(worker_url, ENV, token=TOKEN) as env:
            await env.reset()
            await asyncio.gather(*(env.upload(source, f"{number}") for number in range(4)))
            await asyncio.gather(*(env.download(f"{number}", tmp_path / f"{number}") for number in range(4)))
            with pytest.raises(PathNotFound):
                await env.upload(tmp_path / "nothing", "x")

    asyncio.run(there_and_back())
    assert all((tmp_path / f"{number}").read_bytes() == CONTENT for number in range(4))


def test_a_file_above_the_quota_is_refused_though_it_is_still_being_sent(
    open_env: Open, worker_url: str, tmp_path: Path
) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(EpisodeBounds().copy_bytes + 1)  # a hole: it takes no room
    env = open_env()
    env.reset()
    with pytest.raises(TooLarge):
        env.upload(huge, "huge")

    async def refused() -> None:
        async with await AsyncRemoteGymEnv.make(worker_url, ENV, token=TOKEN) as other:
            await other.reset()
            with pytest.raises(TooLarge):
                await other.upload(huge, "huge")

    asyncio.run(refused())
    assert env.capture_observation()


def test_an_upload_that_breaks_off_is_begun_anew(source: Path) -> None:
    with Flaky() as server:
        transport = Transport(server.url, None, sleep=lambda _: None)
        reply = transport.upload(put_file("e", "x", timeout_s=10), source)
        transport.close()
    assert reply == {"status": "copied", "size_bytes": len(CONTENT)}
    assert server.bodies == [CONTENT]


class Flaky:
    """Hangs up in the middle of its first upload, and takes the second."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.bodies: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Flaky:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        begun = 0
        while not self.bodies:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb") as stream:
                begun += stream.readline().startswith(b"PUT ")  # another one asks whether this is TLS
                if begun == 2:
                    self._take(connection, stream)

    def _take(self, connection: socket.socket, stream: BinaryIO) -> None:
        size = 0
        while line := stream.readline().strip():
            if line.lower().startswith(b"content-length"):
                size = int(line.split(b":")[1])
        self.bodies.append(stream.read(size))
        body = b'{"status": "copied", "size_bytes": %d}' % size
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body)
