"""The mailboxes between people at the dashboard and agents: order, repetition, bounds, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gym_queue.errors import Conflict, EnvNotFound, EnvState, QuotaExceeded, TooLarge
from gym_queue.master import hands as mailboxes
from gym_queue.master.hands import AGE_S, GRACE_S, INPUTS, Hands
from gym_queue.protocol.hand import HandAsk, HandInput, HandTold

ENV = "e1"


class Place:
    """The environments that are there, and the time."""

    def __init__(self) -> None:
        self.envs = {ENV}
        self.now = 100.0

    def check(self, env_id: str) -> None:
        if env_id not in self.envs:
            raise EnvNotFound(f"no {env_id}")


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def hands(place: Place) -> Hands:
    return Hands(lambda: place.now)


def click(name: str, **more: object) -> HandInput:
    return HandInput.model_validate({"id": name, "actions": [{"mouse": {"left_click": [1, 2]}}], **more})


def ask(hands: Hands, place: Place, **fields: object) -> HandInput | None:
    return asyncio.run(hands.take(ENV, HandAsk.model_validate(fields), place.check))


def waiting(hands: Hands, place: Place) -> list[str]:
    return hands.show(ENV, place.check).waiting


async def until(is_so: Callable[[], bool]) -> None:
    """Let the other tasks go on until it is so."""
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError("this did not come true")


def test_nobody_listens_until_an_agent_asks_and_for_long_after_its_last_call(
    hands: Hands, place: Place
) -> None:
    assert hands.show(ENV, place.check).listens == "nobody"
    with pytest.raises(EnvState, match="nobody waits"):
        hands.put(ENV, click("a"), place.check)

    ask(hands, place, told={"task": "Do it.", "step": 4})
    shown = hands.show(ENV, place.check)
    assert (shown.listens, shown.told) == ("waits", HandTold(task="Do it.", step=4))

    place.now += GRACE_S
    assert hands.show(ENV, place.check).listens == "nobody"


def test_inputs_are_taken_in_order_and_come_again_until_they_are_said_to_be_carried_out(
    hands: Hands, place: Place
) -> None:
    ask(hands, place)
    assert [hands.put(ENV, click(name), place.check).position for name in "ab"] == [0, 1]

    assert [ask(hands, place), ask(hands, place)] == [click("a"), click("a")]
    assert hands.show(ENV, place.check).listens == "busy"
    assert ask(hands, place, took="a") == click("b")
    assert waiting(hands, place) == ["b"]
    assert ask(hands, place, took="b") is None
    assert ask(hands, place, took="b") is None


def test_the_same_input_again_is_not_carried_out_again(hands: Hands, place: Place) -> None:
    ask(hands, place)
    for _ in range(2):
        hands.put(ENV, click("a"), place.check)
    assert waiting(hands, place) == ["a"]
    ask(hands, place)
    ask(hands, place, took="a")
    hands.put(ENV, click("a"), place.check)
    assert waiting(hands, place) == []


def test_an_agent_that_waits_gets_an_input_as_it_comes(hands: Hands, place: Place) -> None:
    async def run() -> HandInput | None:
        asked = asyncio.ensure_future(hands.take(ENV, HandAsk(wait_s=30), place.check))
        await until(lambda: hands.show(ENV, place.check).listens == "waits")
        hands.put(ENV, click("a"), place.check)
        return await asked

    assert asyncio.run(run()) == click("a")


def test_the_latest_call_of_an_agent_alone_is_answered(hands: Hands, place: Place) -> None:
    async def run() -> list[HandInput | None]:
        asks = [asyncio.ensure_future(hands.take(ENV, HandAsk(wait_s=30), place.check)) for _ in range(2)]
        await until(asks[0].done)
        hands.put(ENV, click("a"), place.check)
        return [await each for each in asks]

    assert asyncio.run(run()) == [None, click("a")]


def test_an_agent_hears_at_once_that_the_master_stops(hands: Hands, place: Place) -> None:
    async def run() -> HandInput | None:
        asked = asyncio.ensure_future(hands.take(ENV, HandAsk(wait_s=30), place.check))
        await until(lambda: hands.show(ENV, place.check).listens == "waits")
        hands.stop()
        return await asked

    assert asyncio.run(run()) is None


def test_an_agent_that_waits_hears_that_its_environment_has_gone(
    hands: Hands, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailboxes, "LOOK_S", 0.01)

    async def run() -> None:
        asked = asyncio.ensure_future(hands.take(ENV, HandAsk(wait_s=30), place.check))
        await until(lambda: hands.show(ENV, place.check).listens == "waits")
        place.envs.clear()
        await asked

    with pytest.raises(EnvNotFound):
        asyncio.run(run())


def test_nothing_of_an_environment_that_has_gone_is_left_to_its_namesake(hands: Hands, place: Place) -> None:
    ask(hands, place)
    hands.put(ENV, click("a"), place.check)
    place.envs.clear()
    with pytest.raises(EnvNotFound):
        hands.show(ENV, place.check)
    place.envs.add(ENV)
    assert (waiting(hands, place), ask(hands, place)) == ([], None)


def test_what_waits_is_bounded_in_number_size_and_age(hands: Hands, place: Place) -> None:
    ask(hands, place)
    with pytest.raises(TooLarge):
        hands.put(ENV, click("long", actions=[{"keyboard": {"text": "x" * (256 << 10)}}]), place.check)
    for at in range(INPUTS):
        hands.put(ENV, click(f"i{at}"), place.check)
    with pytest.raises(Conflict, match="100 inputs wait"):
        hands.put(ENV, click("late"), place.check)

    place.now += AGE_S + 1
    assert ask(hands, place) is None


def test_all_inputs_together_and_all_mailboxes_are_bounded(
    hands: Hands, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailboxes, "BYTES", 100)
    monkeypatch.setattr(mailboxes, "BOXES", 1)
    ask(hands, place)
    with pytest.raises(QuotaExceeded, match="the inputs that wait"):
        hands.put(ENV, click("a", note="x" * 100), place.check)

    place.envs.add("e2")
    with pytest.raises(QuotaExceeded, match="environments are driven"):
        asyncio.run(hands.take("e2", HandAsk(), place.check))
    place.envs.discard(ENV)
    assert asyncio.run(hands.take("e2", HandAsk(), place.check)) is None
