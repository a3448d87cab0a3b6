"""What a worker says to its master, and how it takes the answers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from fastapi.responses import JSONResponse, Response

from gym_queue.errors import StartupFailed
from gym_queue.web.server import LoopThread
from gym_queue.worker.announce import Announcer, Census, MasterLink, describe_worker
from gym_queue.worker.doctor import Usable
from tests.service.worker.masters import SmallMaster
from tests.waiting import wait_until


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    loop.start()
    yield loop
    loop.stop()


@pytest.fixture
def master(loop: LoopThread) -> Iterator[SmallMaster]:
    master = SmallMaster(loop)
    master.start()
    yield master
    master.stop()


@pytest.fixture
def announcer(master: SmallMaster) -> Announcer:
    registration = describe_worker(
        worker_id="w1",
        url="http://127.0.0.1:1",
        port=1,
        max_envs=2,
        max_starting=1,
        usable=Usable(("fake",)),
        queues=["env.fake.w1"],
    )
    census = Census(["e1", "e2"], ["e2"], {"reaped": 3})
    return Announcer(MasterLink(master.url, "secret"), registration, lambda: census)


@pytest.fixture
def beating(announcer: Announcer, loop: LoopThread, master: SmallMaster) -> Iterator[Announcer]:
    """An announcer that has registered and sent heartbeats."""
    announcer.register()
    loop.run(announcer.start())
    wait_until(lambda: len(master.bodies("heartbeat")) > 2)
    yield announcer
    loop.run(announcer.stop())


def test_it_registers_what_it_is_with_the_token(announcer: Announcer, master: SmallMaster) -> None:
    master.broker_url = "redis://broker"
    assert announcer.register().broker_url == "redis://broker"
    (said,) = master.bodies("register")
    assert (said["worker_id"], said["max_envs"], said["queues"]) == ("w1", 2, ["env.fake.w1"])
    assert said["metadata"]["available_runners"] == ["fake"]
    assert master.tokens == {"Bearer secret"}


def test_it_waits_for_a_master_that_starts_late(announcer: Announcer, master: SmallMaster) -> None:
    master.stop()
    registering = threading.Thread(target=announcer.register)
    registering.start()
    master.start()
    registering.join(10)
    assert len(master.bodies("register")) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (JSONResponse({"error": "the token is wrong", "code": "unauthorized"}, 401), "the token is wrong"),
        (Response("<html>hello</html>", 200), "is not a master"),
        (JSONResponse([1], 201), "is not a master"),
        (JSONResponse({"detail": "Not Found"}, 404), "Not Found"),
        (Response("oops", 500), "500"),
    ],
)
def test_a_refusal_is_one_sentence(
    announcer: Announcer, master: SmallMaster, answer: Response, why: str
) -> None:
    master.answers["register"] = answer
    with pytest.raises(StartupFailed, match=why):
        announcer.register()


def test_heartbeats_name_the_environments_and_their_sequence_grows(
    beating: Announcer, master: SmallMaster
) -> None:
    beats = master.bodies("heartbeat")
    said = {(beat["worker_id"], beat["env_count"], beat["status"], beat["pid"]) for beat in beats}
    assert said == {("w1", 2, "healthy", os.getpid())}
    assert {(*beat["env_ids"], *beat["opening"], beat["metrics"]["reaped"]) for beat in beats} == {
        ("e1", "e2", "e2", 3)
    }
    sequence = [beat["sequence"] for beat in beats]
    assert sequence == sorted(set(sequence))


def test_a_master_that_forgot_the_worker_gets_a_registration(beating: Announcer, master: SmallMaster) -> None:
    master.answers["heartbeat"] = JSONResponse({"action": "reregister"}, 404)
    wait_until(lambda: len(master.bodies("register")) > 1)
    first, again = master.bodies("register")[:2]
    assert again == {**first, "env_ids": ["e1"]}, "and hears what is open here"


def test_heartbeats_go_on_after_a_master_was_away(beating: Announcer, master: SmallMaster) -> None:
    master.stop()
    wait_until(lambda: beating.master_status == "unreachable")
    before = len(master.bodies("heartbeat"))
    master.start()
    wait_until(lambda: len(master.bodies("heartbeat")) > before)
    wait_until(lambda: beating.master_status == "registered")


@pytest.mark.parametrize("answer", [Response("junk", 500), JSONResponse([1], 503), Response("\xff", 404)])
def test_heartbeats_survive_any_answer(beating: Announcer, master: SmallMaster, answer: Response) -> None:
    master.answers["heartbeat"] = answer
    master.answers["register"] = answer
    wait_until(lambda: beating.master_status == "unreachable")
    master.answers.clear()
    wait_until(lambda: beating.master_status == "registered")


def test_it_says_that_it_drains_and_leaves(beating: Announcer, master: SmallMaster, loop: LoopThread) -> None:
    loop.run(beating.drain())
    wait_until(lambda: master.bodies("heartbeat")[-1]["status"] == "draining")
    loop.run(beating.stop())
    assert [call for call, _ in master.said if call != "heartbeat"] == ["register", "drain", "deregister"]
    assert master.said[-1][0] == "deregister"


def test_leaving_a_master_that_is_away_is_no_error(
    beating: Announcer, master: SmallMaster, loop: LoopThread
) -> None:
    master.stop()
    loop.run(beating.drain())
    loop.run(beating.stop())
