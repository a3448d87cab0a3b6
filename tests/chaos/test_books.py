"""The harness itself, on real processes: what goes wrong behind a client's back is in its books."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing

import pytest

from gym_queue.chaos.driver import Books, Driver, null_spec
from gym_queue.chaos.survey import Survey
from gym_queue.client import calls
from gym_queue.client.network import LoopNetwork
from gym_queue.client.transport import Carrier
from gym_queue.errors import EnvLost, EnvNotFound
from gym_queue.testing import Fleet, FleetSetup

pytestmark = [pytest.mark.chaos, pytest.mark.needs("redis-server")]

TOKEN = "only-for-tests"
STEP = {"actions": [{"keyboard": {"keys": "a"}}], "wait_between_actions": 0}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    setup = FleetSetup(
        workers=1, worker_arguments=("--runners", "fake"), variables={"GYM_ANYTHING_TOKEN": TOKEN}
    )
    with Fleet(setup) as started:
        yield started
        assert started.stop() == [0, 0]
    assert started.processes() == []


def play(fleet: Fleet, scene: Callable[[Driver, Carrier], Awaitable[None]], **options: str) -> Books:
    """Run a scene with a client in the middle of an episode, and somebody else."""
    books = Books()

    async def run() -> None:
        driver = Driver(fleet.url, TOKEN, null_spec(), books, **options)
        with closing(Carrier(fleet.url, TOKEN, LoopNetwork())) as other:
            await driver.open()
            await driver.reset()
            await driver.step()
            await scene(driver, other)
            await driver.close()

    asyncio.run(run())
    return books


def test_a_step_that_somebody_else_played_counts_as_doubled(fleet):
    async def scene(driver: Driver, other: Carrier) -> None:
        assert driver.env is not None
        await other.send(calls.step(driver.env.env_id, STEP, timeout_s=10))
        await driver.step()
        await driver.step()

    ledger = play(fleet, scene).ledger
    assert (ledger.steps_sent, ledger.steps_answered) == (3, 3)
    assert (ledger.steps_doubled, ledger.steps_lost) == (1, 0)


def test_an_episode_that_somebody_else_began_anew_counts_as_lost_steps(fleet):
    async def scene(driver: Driver, other: Carrier) -> None:
        assert driver.env is not None
        await driver.step()
        await other.send(calls.reset(driver.env.env_id, {}, timeout_s=10))
        await driver.step()

    assert play(fleet, scene).ledger.steps_lost > 0


def test_a_killed_environment_is_lost_once_whichever_way_its_client_takes_it(fleet):
    async def kill(driver: Driver, _other: Carrier) -> None:
        assert fleet.kill_env_process(0)
        with pytest.raises(EnvLost):
            await driver.step()

    async def kill_and_recreate(driver: Driver, _other: Carrier) -> None:
        assert fleet.kill_env_process(0)
        await driver.step()
        await driver.step()

    told, recreated = play(fleet, kill), play(fleet, kill_and_recreate, on_lost="recreate")
    assert told.ledger.errors == {"env_lost": 1}
    assert recreated.ledger.errors == {}
    for books in (told, recreated):
        assert (books.ledger.envs_lost, [loss.worker_id for loss in books.losses]) == (1, ["worker-1"])
        assert books.ledger.envs_created == books.ledger.envs_closed + books.ledger.envs_lost
    assert (recreated.ledger.envs_recreated, recreated.ledger.steps_doubled) == (1, 0)


def test_a_slot_that_is_not_given_back_is_seen(fleet):
    async def scene(_driver: Driver, _other: Carrier) -> None:
        with closing(Survey(fleet.url, TOKEN)) as survey:
            assert await survey.slots_left(0.0) == 1

    play(fleet, scene)

    async def empty() -> int:
        with closing(Survey(fleet.url, TOKEN)) as survey:
            return await survey.slots_left(10.0)

    assert asyncio.run(empty()) == 0


def test_a_call_about_an_environment_that_never_was_is_no_loss(fleet):
    async def scene(_driver: Driver, other: Carrier) -> None:
        with pytest.raises(EnvNotFound):
            await other.send(calls.step("never-was", STEP, timeout_s=10))

    assert play(fleet, scene).ledger.envs_lost == 0


def test_what_is_killed_comes_back_under_its_address(fleet):
    for kill, restart in (
        (fleet.kill_master, fleet.restart_master),
        (fleet.kill_broker, fleet.restart_broker),
        (lambda: fleet.kill_worker(0), lambda: fleet.restart_worker(0)),
    ):
        kill()
        restart()

    async def scene(driver: Driver, _other: Carrier) -> None:
        await driver.step()

    assert play(fleet, scene).ledger.steps_answered == 2
