from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
from starlette.responses import PlainTextResponse

from gym_queue.errors import StartupFailed
from gym_queue.web.server import HttpServer, LoopThread, bind, caught_signals, shown_host

HOST = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with bind(HOST, 0) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    made = LoopThread()
    made.start()
    yield made
    made.stop()


def test_port_0_takes_a_free_one() -> None:
    with bind(HOST, 0) as bound, socket.create_connection(bound.getsockname()):
        assert bound.getsockname()[1] > 0


def test_a_taken_port_is_told_with_the_remedy(taken: int) -> None:
    with pytest.raises(StartupFailed, match=f"port {taken} on {HOST} is taken: .*--auto-port"):
        bind(HOST, taken)


def test_auto_port_takes_the_next_free_one(taken: int) -> None:
    with bind(HOST, taken, auto_port=True) as bound:
        assert taken < bound.getsockname()[1] < taken + 100


@pytest.mark.skipif(os.geteuid() == 0, reason="root may bind any port")
def test_a_privileged_port_is_told() -> None:
    with pytest.raises(StartupFailed, match="choose one above 1023"):
        bind(HOST, 1)


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("192.0.2.1", 0),
        ("no.such.host.invalid", 0),
        ("a" * 70 + ".x", 0),
        ("", 0),
        ("a\0b", 0),
        (HOST, 65536),
        (HOST, -1),
    ],
)
def test_what_is_no_address_of_this_machine_is_told(host: str, port: int) -> None:
    with pytest.raises(StartupFailed):
        bind(host, port)


def test_auto_port_does_not_hide_a_foreign_address() -> None:
    with pytest.raises(StartupFailed, match="--host"):
        bind("192.0.2.1", 5800, auto_port=True)


async def hello(scope, receive, send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


def test_a_server_serves_until_it_is_stopped(thread: LoopThread) -> None:
    bound = bind(HOST, 0)
    url = f"http://{HOST}:{bound.getsockname()[1]}"
    server = HttpServer(hello, bound)
    thread.run(server.start(), timeout_s=10)
    reply = httpx.get(url)
    assert (reply.text, "server" in reply.headers) == ("hello", False)
    thread.run(server.stop(), timeout_s=10)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_server_that_never_started_can_be_stopped(thread: LoopThread) -> None:
    bound = bind(HOST, 0)
    thread.run(HttpServer(hello, bound).stop(), timeout_s=10)
    assert bound.fileno() == -1


def test_a_loop_runs_work_of_other_threads(thread: LoopThread) -> None:
    async def work() -> str:
        return threading.current_thread().name

    assert thread.run(work()) == "loop"


def test_an_error_of_the_work_comes_back(thread: LoopThread) -> None:
    async def work() -> None:
        raise ValueError("of mine")

    with pytest.raises(ValueError, match="of mine"):
        thread.run(work())


def test_work_that_nobody_waits_for_any_more_is_cancelled(thread: LoopThread) -> None:
    cancelled = threading.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        thread.run(work(), timeout_s=0.05)
    assert cancelled.wait(10)


def test_stop_cancels_what_still_runs() -> None:
    thread = LoopThread()
    thread.start()
    ended = threading.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def begin() -> asyncio.Task[None]:
        task = asyncio.create_task(wait_for_ever())
        await asyncio.sleep(0)
        return task

    task = thread.run(begin())
    thread.stop()
    thread.stop()
    assert task.cancelled()
    assert ended.is_set()


def test_a_loop_that_has_ended_takes_no_work() -> None:
    thread = LoopThread()
    thread.start()
    thread.stop()
    with pytest.raises(RuntimeError, match="ended"):
        thread.run(asyncio.sleep(0))


def test_a_loop_that_never_started_can_be_stopped() -> None:
    thread = LoopThread()
    thread.stop()
    assert thread.loop.is_closed()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_and_handlers_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with caught_signals() as wait:
        signal.raise_signal(number)
        assert wait() == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "localhost"), ("::", "localhost"), ("h", "h"), ("fe80::1", "[fe80::1]")]
)
def test_a_host_is_shown_as_people_can_open_it(host: str, shown: str) -> None:
    assert shown_host(host) == shown


def test_a_server_may_open_many_files_and_accepts_a_crowd(thread: LoopThread) -> None:
    _, hard = before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    bound = bind(HOST, 0)
    address = bound.getsockname()
    server = HttpServer(hello, bound)
    crowd = []
    try:
        thread.run(server.start(), timeout_s=10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 65_536)
        crowd = [socket.create_connection(address) for _ in range(300)]
        for each in crowd:
            each.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert all(each.recv(100).startswith(b"HTTP/1.1 200") for each in crowd)
    finally:
        for each in crowd:
            each.close()
        thread.run(server.stop(), timeout_s=10)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
