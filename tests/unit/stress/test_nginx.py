"""nginx beside our own programs: it serves at once, forwards, and leaves nothing."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from gym_queue.errors import StartupFailed
from gym_queue.stress.nginx import Nginx
from gym_queue.stress.wire import Caller, Reply, make_request

BACKEND = 'location = /x { return 200 "hello"; }'


def ask(url: str, path: str) -> Reply:
    async def run() -> Reply:
        caller = Caller(url)
        try:
            return await caller.ask(make_request("POST", path, token="t", body=b"{}"))
        finally:
            caller.close()

    return asyncio.run(run())


@pytest.mark.needs("nginx")
def test_it_forwards_to_each_server_on_a_port_of_its_own():
    with Nginx([BACKEND, 'return 200 "other";']) as behind, Nginx.before(behind.urls) as front:
        assert [ask(url, "/x").body for url in front.urls] == [b"hello", b"other"]
        assert ask(front.urls[0], "/y").status == 404
        pids = [behind.pid, front.pid]
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.needs("nginx")
def test_a_configuration_it_refuses_is_an_error_that_quotes_it():
    with pytest.raises(StartupFailed, match="nonsense"), Nginx(["nonsense;"]):
        pass


def test_a_machine_without_it_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_args, **_options: None)
    with pytest.raises(StartupFailed, match="apt-get install"), Nginx([BACKEND]):
        pass
