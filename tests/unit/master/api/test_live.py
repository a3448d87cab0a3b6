"""Listeners hear what changes, once, and nothing is made while nobody listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gym_queue.errors import MasterRecovering, QuotaExceeded, Unauthorized
from gym_queue.master.api.live import ALIVE, ALIVE_S, HELLO, Listener, LiveFeed


class Scene:
    """A feed of one number, under a clock that the test turns."""

    def __init__(self, *, most: int = 3) -> None:
        self.now, self.number, self.made = 0.0, 1, 0
        self.failed = asyncio.Event()
        self.feed = LiveFeed({"number": self._make}, clock=lambda: self.now, most=most, tick_s=0)

    def _make(self) -> dict[str, Any]:
        self.made += 1
        if self.number < 0:
            self.failed.set()
            raise RuntimeError("a bug")
        return {"as_of": self.made, "number": self.number}

    def listen(self, last: str = "", may: Callable[[], object] = lambda: None) -> Listener:
        return self.feed.listen(last, may)

    async def woken(self, listener: Listener) -> bytes:
        """Return what a listener hears next."""
        async with asyncio.timeout(5):
            await listener.woken.wait()
        listener.woken.clear()
        return self.feed.news(listener)


def scene(test: Callable[[Scene], Awaitable[None]]) -> Callable[[], None]:
    async def run() -> None:
        at = Scene()
        await test(at)
        at.feed.stop()

    return lambda: asyncio.run(run())


def id_of(event: bytes) -> str:
    return event.decode().partition("id: ")[2].partition("\n")[0]


@scene
async def _all_at_once(at: Scene) -> None:
    first = at.feed.news(at.listen())
    assert first.startswith(b"event: number\nid: ")
    assert first.endswith(b'data: {"as_of": 1, "number": 1}\n\n')


test_a_listener_hears_everything_at_once = _all_at_once


@scene
async def _only_changes(at: Scene) -> None:
    listener = at.listen()
    at.feed.news(listener)
    assert not at.feed.refresh()
    assert at.feed.news(listener) == b""
    at.number = 2
    assert b'"number": 2' in await at.woken(listener)


test_nothing_is_sent_until_something_but_an_age_changes = _only_changes


@scene
async def _resumes(at: Scene) -> None:
    listener = at.listen()
    last = id_of(at.feed.news(listener))
    again = at.listen(last)
    assert at.feed.news(again) == b""
    at.number = 2
    assert b'"number": 2' in await at.woken(again)


test_who_has_missed_nothing_hears_nothing_again = _resumes


@pytest.mark.parametrize(
    "last", ["other-1", "1", "-", "x-y", "{boot}-99", "{boot}-" + "9" * 5000, "{boot}-²"]
)
def test_an_event_of_another_master_or_none_is_as_if_there_was_none(last: str) -> None:
    async def run() -> None:
        at = Scene()
        boot = id_of(at.feed.news(at.listen())).rpartition("-")[0]
        assert at.feed.news(at.listen(last.format(boot=boot))).startswith(b"event:")

    asyncio.run(run())


@scene
async def _missed_meanwhile(at: Scene) -> None:
    listener = at.listen()
    last = id_of(at.feed.news(listener))
    at.feed.leave(listener)
    made = at.made
    for _ in range(5):
        await asyncio.sleep(0)
    assert at.made == made
    at.number = 2
    assert b'"number": 2' in at.feed.news(at.listen(last))


test_nothing_is_made_while_nobody_listens_and_what_changed_is_heard_by_the_next = _missed_meanwhile


@scene
async def _loses_rights(at: Scene) -> None:
    rights = ["some"]

    def may() -> None:
        if not rights:
            raise Unauthorized("not any more")

    may_not, may_still = at.listen(may=may), at.listen()
    rights.clear()
    at.now += ALIVE_S
    await at.woken(may_not)
    assert (may_not.has_ended, may_still.has_ended) == (True, False)


test_a_listener_whose_rights_end_is_let_go = _loses_rights


@scene
async def _survives_bugs(at: Scene) -> None:
    listener = at.listen()
    at.feed.news(listener)
    at.number = -1
    await at.failed.wait()
    at.number = 2
    assert b'"number": 2' in await at.woken(listener)


test_a_bug_in_what_is_shown_ends_nothing = _survives_bugs


@scene
async def _too_many(at: Scene) -> None:
    listeners = [at.listen() for _ in range(3)]
    with pytest.raises(QuotaExceeded, match="close a page"):
        at.listen()
    at.feed.leave(listeners[0])
    at.listen()


test_so_many_may_listen_and_no_more = _too_many


@scene
async def _stops(at: Scene) -> None:
    listener = at.listen()
    at.feed.stop()
    assert listener.has_ended
    with pytest.raises(MasterRecovering):
        at.listen()


test_a_feed_that_stops_ends_every_reply_and_takes_nobody = _stops


class Client:
    """An ASGI server's side of one reply."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.has_left = asyncio.Event()

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        self.arrived.set()

    async def receive(self) -> Any:
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def bytes_after(self, count: int) -> bytes:
        """Return the body once so many messages were sent."""
        async with asyncio.timeout(5):
            while len(self.sent) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return b"".join(each.get("body", b"") for each in self.sent)


@asynccontextmanager
async def served(at: Scene, client: Client) -> AsyncIterator[asyncio.Task[None]]:
    reply = at.feed.reply(at.listen())
    task = asyncio.ensure_future(reply({"type": "http"}, client.receive, client.send))
    yield task
    async with asyncio.timeout(5):
        await task


@scene
async def _alive(at: Scene) -> None:
    client = Client()
    async with served(at, client):
        assert (await client.bytes_after(2)).startswith(HELLO)
        at.now += ALIVE_S
        assert (await client.bytes_after(3)).endswith(ALIVE)
        client.has_left.set()
    assert client.sent[0]["status"] == 200
    assert at.feed.listener_count == 0


test_a_reply_tells_that_it_lives_and_ends_with_its_client = _alive


@scene
async def _ends_whole(at: Scene) -> None:
    client = Client()
    async with served(at, client):
        await client.bytes_after(2)
        at.feed.stop()
    assert client.sent[-1] == {"type": "http.response.body", "body": b""}


test_a_reply_that_is_stopped_ends_whole = _ends_whole


def test_who_reads_too_slowly_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_queue.master.api.live.SEND_TIMEOUT_S", 0)

    async def run() -> None:
        at, client = Scene(), Client()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        await at.feed.reply(at.listen())({"type": "http"}, client.receive, send)
        assert at.feed.listener_count == 0

    asyncio.run(run())
