from __future__ import annotations

import asyncio
import inspect
import threading
from pathlib import Path

import pytest

from gym_queue.client import AsyncRemoteGymEnv
from gym_queue.client.opening import SOURCE, Everything
from gym_queue.client.remote import RemoteGymEnv
from gym_queue.errors import ConnectionFailed, EnvState, GatewayTimeout, RequestInvalid
from gym_queue.protocol.surface import GymEnv
from tests.unit.client.conftest import DROP, HANG, answer
from tests.waiting import wait_until

METHODS = [name for name, each in vars(GymEnv).items() if inspect.isfunction(each) and name[0] != "_"]
CREATED = answer(201, {"env_id": "e1"})
CLOSED = answer(200, {"status": "closed"})


def opened(server, **options):
    return AsyncRemoteGymEnv.from_config(server.url, "/only/there", **{"token": "t", **options})


def paths(server) -> list[str]:
    return [seen.path for seen in server.seen]


async def until_seen(server, count: int) -> None:
    await asyncio.to_thread(wait_until, lambda: len(server.seen) == count)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_surface_is_a_coroutine_of_the_same_signature(name):
    found = getattr(AsyncRemoteGymEnv, name)
    assert inspect.iscoroutinefunction(found)
    assert inspect.signature(found) == inspect.signature(getattr(GymEnv, name))


def test_its_keywords_are_those_of_the_blocking_client():
    keywords = set(inspect.signature(RemoteGymEnv).parameters) - {"remote_url"}
    assert set(Everything.__annotations__) == keywords
    assert set(SOURCE) < keywords


async def play(server):
    async with await opened(server, env_id="mine", priority=2) as env:
        await env.reset(seed=1)
        return await env.step([{"mouse": {"move": [1, 2]}}])


def test_an_episode(server):
    stepped = answer(200, {"observation": {}, "reward": 1.5, "done": True, "info": {"step": 0}})
    server.then(CREATED, answer(200, {"observation": {}}), stepped, CLOSED)
    assert asyncio.run(play(server)) == ({}, 1.5, True, {"step": 0})
    assert paths(server) == ["/envs/create", "/envs/e1/reset", "/envs/e1/step", "/envs/e1/close"]
    sent = {"env_id": "mine", "env_dir": "/only/there", "priority": 2, "lease_s": 120}
    assert server.seen[0].body == sent
    assert server.connections == 1


def test_a_screen_that_came_as_a_path_is_fetched_with_the_reply(server):
    async def look():
        async with await opened(server) as env:
            return await env.reset()

    shown = answer(200, {"observation": {"screen": {"path": "/f.png"}}})
    server.then(CREATED, shown, answer(raw=b"png"), CLOSED)
    assert asyncio.run(look())["screen"].png() == b"png"
    assert paths(server)[2] == "/envs/e1/fetch_path?path=%2Ff.png"


def test_a_step_that_is_cancelled_leaves_an_environment_that_can_be_closed(server):
    async def cancel():
        async with await opened(server) as env:
            step = asyncio.create_task(env.step([]))
            await until_seen(server, 2)
            step.cancel()
            with pytest.raises(asyncio.CancelledError):
                await step

    server.then(CREATED, HANG, CLOSED)
    asyncio.run(cancel())
    assert paths(server)[2] == "/envs/e1/close"
    assert server.connections == 2


def test_a_create_that_is_cancelled_closes_what_it_may_have_opened(server):
    async def cancel():
        opening = asyncio.create_task(opened(server, env_id="mine"))
        await until_seen(server, 1)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    server.then(HANG, CLOSED)
    asyncio.run(cancel())
    assert paths(server)[1] == "/envs/mine/close"


def test_failures_are_those_of_the_blocking_client(server, dead_url):
    async def fail():
        async with await opened(server, timeout=0.1) as env:
            with pytest.raises(GatewayTimeout, match=r"0\.1 s"):
                await env.step([])
            with pytest.raises(ConnectionFailed) as caught:
                await env.step([])
            assert caught.value.details["sent"] is True
        with pytest.raises(EnvState, match="closed"):
            await env.reset()
        with pytest.raises(ConnectionFailed, match=dead_url):
            await AsyncRemoteGymEnv.open(dead_url, env_dir="x", token="", timeout=0.1)
        with pytest.raises(RequestInvalid, match="timeout"):
            await AsyncRemoteGymEnv.open(dead_url, env_dir="x", timeout=0)

    server.then(CREATED, HANG, DROP, CLOSED)
    asyncio.run(fail())


def test_a_file_larger_than_the_read_buffer_arrives_whole(server, tmp_path):
    async def fetch():
        async with await opened(server) as env:
            return await env.fetch_path("big", str(tmp_path / "big"))

    content = bytes(range(256)) * 10_000
    server.then(CREATED, answer(raw=content), CLOSED)
    asyncio.run(fetch())
    assert (tmp_path / "big").read_bytes() == content


def test_spec_files_are_read_where_blocking_is_no_harm(server, tmp_path, monkeypatch):
    async def open_one():
        async with await AsyncRemoteGymEnv.from_config(server.url, tmp_path, token="t") as env:
            return env.env_spec

    readers = []
    open_path = Path.open

    def noted(self, *args, **options):
        if self.name == "env.json":
            readers.append(threading.current_thread())
        return open_path(self, *args, **options)

    (tmp_path / "env.json").write_text(
        '{"id": "x", "observation": [{"type": "cli_stdout"}], "action": [{"type": "keyboard"}]}'
    )
    monkeypatch.setattr(Path, "open", noted)
    server.then(CREATED, CLOSED)
    assert asyncio.run(open_one()).id == "x"
    assert readers
    assert threading.main_thread() not in readers
