from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gym_queue.errors import Conflict, EnvLost, EnvNotFound, EnvTimeout, RequestInvalid
from gym_queue.worker.ended import CLOSED, REMEMBERED, Ended
from gym_queue.worker.replies import Replies

STEP = (b"step", b"body")
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Work:
    """Answers with its count."""

    def __init__(self, size: int = 0) -> None:
        self.count = 0
        self._size = size

    async def __call__(self) -> bytes:
        self.count += 1
        await asyncio.sleep(0)
        return b"%d" % self.count + b"x" * self._size


def failing(error: Exception) -> Callable[[], Awaitable[bytes]]:
    async def work() -> bytes:
        raise error

    return work


async def test_a_call_that_is_repeated_is_carried_out_once() -> None:
    replies, work = Replies(), Work()
    assert await replies.once(b"key", STEP, work) == (b"1", False)
    assert await replies.once(b"key", STEP, work) == (b"1", True)
    assert await replies.once(b"other", STEP, work) == (b"2", False)


async def test_a_call_that_still_runs_is_joined() -> None:
    replies, work = Replies(), Work()
    found = await asyncio.gather(*(replies.once(b"key", STEP, work) for _ in range(5)))
    assert sorted(found) == [(b"1", False)] + [(b"1", True)] * 4


async def test_a_key_is_good_for_one_call() -> None:
    replies, work = Replies(), Work()
    await replies.once(b"key", STEP, work)
    for other in [(b"reset", b"body"), (b"step", b"another"), (b"stepb", b"ody")]:
        with pytest.raises(Conflict, match="another call"):
            await replies.once(b"key", other, work)


async def test_an_error_is_a_reply_too() -> None:
    replies = Replies()
    with pytest.raises(EnvTimeout):
        await replies.once(b"key", STEP, failing(EnvTimeout("slow")))
    work = Work()
    with pytest.raises(EnvTimeout, match="slow"):
        await replies.once(b"key", STEP, work)
    assert work.count == 0


async def test_a_call_whose_first_try_was_broken_off_is_not_carried_out_again() -> None:
    replies, work = Replies(), Work()
    with pytest.raises(ZeroDivisionError):
        await replies.once(b"key", STEP, failing(ZeroDivisionError()))
    with pytest.raises(Conflict, match="was carried out"):
        await replies.once(b"key", STEP, work)
    assert work.count == 0


async def test_replies_are_bounded_and_their_keys_outlive_them() -> None:
    replies, work = Replies(max_bytes=250), Work(size=99)
    for key in (b"a", b"b", b"c"):
        await replies.once(key, STEP, work)
    with pytest.raises(Conflict, match="no longer kept"):
        await replies.once(b"a", STEP, work)
    assert (await replies.once(b"b", STEP, work))[1]
    assert (await replies.once(b"c", STEP, work))[1]


async def test_errors_are_bounded_too_and_hold_nothing_of_their_call() -> None:
    replies = Replies(max_bytes=10_000, max_keys=10)
    for number in range(100):
        with pytest.raises(EnvTimeout):
            await replies.once(b"%d" % number, STEP, failing(EnvTimeout("slow")))
    assert len(replies._used) == 10
    (kept,) = [used.outcome for key, used in replies._used.items() if key == b"99"]
    assert kept is not None
    error = kept.exception()
    assert error is not None
    assert error.__traceback__ is None


async def test_the_last_reply_is_kept_however_large() -> None:
    replies, work = Replies(max_bytes=10), Work(size=1000)
    for key in (b"a", b"b"):
        await replies.once(key, STEP, work)
    assert (await replies.once(b"b", STEP, work))[1]


async def test_the_oldest_keys_are_forgotten() -> None:
    replies, work = Replies(max_keys=2), Work()
    for key in (b"a", b"b", b"c"):
        await replies.once(key, STEP, work)
    assert await replies.once(b"a", STEP, work) == (b"4", False)


@pytest.mark.parametrize("key", [b"", b"a b", b"\xff", b"k" * 129])
async def test_what_is_no_key_is_refused(key: bytes) -> None:
    work = Work()
    with pytest.raises(RequestInvalid):
        await Replies().once(key, STEP, work)
    assert work.count == 0


def test_ends_are_remembered_by_their_first_reason() -> None:
    ended = Ended()
    ended.note("a", CLOSED)
    ended.note("b", "it was reaped: no lease")
    ended.note("b", CLOSED)
    assert isinstance(ended.error("a"), EnvNotFound)
    assert isinstance(ended.error("b"), EnvLost)
    assert "it was reaped: no lease" in str(ended.error("b"))
    assert "never here" in str(ended.error("c"))
    ended.forget("b")
    assert "b" not in ended


def test_ends_are_bounded() -> None:
    ended = Ended()
    for number in range(REMEMBERED + 1):
        ended.note(str(number), CLOSED)
    assert "0" not in ended
    assert "1" in ended
