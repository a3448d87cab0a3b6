"""The cheap client: whole replies from pieces, errors as themselves."""

from __future__ import annotations

import asyncio

import pytest

from gym_queue.errors import BadReply, ConnectionFailed, EnvNotFound
from gym_queue.stress.load import closed_loop, together
from gym_queue.stress.wire import Caller, Reply, make_request
from tests.unit.stress.servers import answering, reply

GET = make_request("GET", "/x", token="secret")


def ask(*pieces: bytes, times: int = 1, hang_up: bool = False) -> tuple[list[Reply], list[bytes]]:
    async def run() -> tuple[list[Reply], list[bytes]]:
        async with answering(*pieces, hang_up=hang_up) as (url, heads):
            caller = Caller(url)
            try:
                return [await caller.ask(GET) for _ in range(times)], heads
            finally:
                caller.close()

    return asyncio.run(run())


def test_a_reply_in_pieces_comes_whole_on_one_connection():
    replies, heads = ask(*reply(b'{"a": 1}'), times=3)
    assert [found.json() for found in replies] == [{"a": 1}] * 3
    assert b"Authorization: Bearer secret\r\n" in heads[0]


async def until_closed(caller: Caller) -> None:
    async with asyncio.timeout(5):
        while caller.is_open:  # noqa: ASYNC110  there is no event for what the kernel tells
            await asyncio.sleep(0)


def test_a_lost_connection_is_opened_again():
    async def run():
        async with answering(*reply(b"{}"), hang_up=True) as (url, heads):
            caller = Caller(url)
            await caller.ask(GET)
            await until_closed(caller)
            await caller.ask(GET)
            caller.close()
            return heads

    assert len(asyncio.run(run())) == 2


@pytest.mark.parametrize("pieces", [(b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nhello",), (b"nonsense\r\n\r\n",)])
def test_a_reply_without_a_length_is_refused(pieces):
    with pytest.raises(BadReply, match="without its length"):
        ask(*pieces)


def test_a_server_that_hangs_up_early_is_an_error():
    with pytest.raises(ConnectionFailed, match="hung up"):
        ask(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", hang_up=True)


def test_nobody_listening_is_an_error():
    with pytest.raises(ConnectionFailed, match="cannot connect"):
        asyncio.run(Caller("http://127.0.0.1:9").ask(GET))


def test_an_error_reply_is_the_error_it_names():
    body = b'{"error": "no such env", "code": "env_not_found"}'
    with pytest.raises(EnvNotFound, match="no such env"):
        Reply(404, body).check()


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"\xff"])
def test_an_error_reply_that_is_no_object_is_a_bad_reply(body):
    with pytest.raises(BadReply):
        Reply(502, body).check()


def test_a_closed_loop_counts_answers_and_errors_by_code():
    async def run():
        body = b'{"error": "x", "code": "no_capacity"}'
        async with (
            answering(*reply(b"ok")) as (good, _),
            answering(*reply(body, "503 Service Unavailable")) as (bad, _),
        ):
            return await closed_loop([(good, GET), (bad, GET)], 0.05, timeout_s=5)

    figures = asyncio.run(run())
    assert figures.count > 0
    assert figures.errors["no_capacity"] > 0
    assert set(figures.errors) == {"no_capacity"}


def test_the_first_failure_ends_what_runs_beside_it():
    ended = []

    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def fail():
        raise BadReply("no")

    with pytest.raises(BadReply):
        asyncio.run(together([forever(), fail()]))
    assert ended
