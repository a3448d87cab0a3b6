"""Which workers are asked whether they live, and what becomes of their answers."""

import pytest

from gym_queue.protocol.fleet import WorkerStatus


@pytest.fixture
def worker(world):
    world.register("w1", runners=["local"])
    world.beat("w1")
    return world


def asked(world):
    """Ask those in doubt, and return who that was."""
    found = world.fleet.doubtful()
    for worker_id in found:
        world.fleet.question(worker_id)
    return found


def test_a_worker_that_speaks_is_not_asked(worker):
    assert asked(worker) == []


def test_a_worker_is_asked_when_two_heartbeats_are_missing_once_a_heartbeat(worker):
    worker.clock.now += 10
    assert asked(worker) == []
    worker.clock.now += 0.5
    assert asked(worker) == ["w1"]
    assert asked(worker) == []
    worker.clock.now += 5
    assert asked(worker) == ["w1"]


def test_a_worker_that_opens_an_environment_is_asked_after_a_second_of_silence(worker):
    worker.clock.now += 0.5
    worker.routes.reserve("e1", "w1", "http://w1:5900")
    worker.clock.now += 1.0
    assert asked(worker) == []
    worker.clock.now += 0.1
    assert asked(worker) == ["w1"]
    worker.fleet.hear("w1")
    worker.clock.now += 1.0
    assert asked(worker) == []


def test_a_worker_that_celery_does_not_hear_while_others_speak_is_asked(worker):
    worker.register("w2", runners=["local"])
    for worker_id in ("w1", "w2"):
        worker.fleet.hear(worker_id)
    worker.clock.now += 6.5
    assert asked(worker) == []  # nobody speaks: the broker may be away
    worker.fleet.hear("w2")
    assert asked(worker) == ["w1"]


def test_a_worker_that_does_not_answer_gets_nothing_new_until_it_speaks(worker):
    worker.fleet.unanswered("w1", worker.fleet.process("w1"))
    assert worker.fleet.status("w1") is WorkerStatus.UNHEALTHY
    worker.beat("w1")
    assert worker.fleet.status("w1") is WorkerStatus.HEALTHY
    worker.fleet.unanswered("w1", worker.fleet.process("w1"))
    worker.fleet.answered("w1", worker.fleet.process("w1"))
    assert worker.fleet.status("w1") is WorkerStatus.HEALTHY


def test_a_worker_at_whose_address_nobody_listens_is_dead_and_its_environments_lost(worker):
    worker.beat("w1", "e1")
    worker.fleet.refused("w1", worker.fleet.process("w1"))
    assert worker.fleet.status("w1") is WorkerStatus.DEAD
    assert "nothing answers at the address" in worker.routes.ended("e1")
    assert worker.lost == ["w1"]


def test_a_worker_that_has_just_registered_may_not_listen_yet(world):
    world.register("w1", runners=["local"])
    world.fleet.refused("w1", world.fleet.process("w1"))
    assert world.fleet.status("w1") is WorkerStatus.UNHEALTHY


def test_an_answer_of_a_process_that_was_replaced_counts_for_nothing(worker):
    process = worker.fleet.process("w1")
    worker.register("w1", runners=["local"], pid=2)
    worker.beat("w1")
    worker.fleet.refused("w1", process)
    worker.fleet.unanswered("w1", process)
    assert worker.fleet.status("w1") is WorkerStatus.HEALTHY


def test_late_word_of_an_environment_brings_in_nothing_that_is_not_known(worker):
    worker.fleet.report("w1", "e1")
    assert worker.routes.find("e1") is None
    worker.routes.remove("e2", "closed")
    worker.fleet.report("w1", "e2")
    assert worker.strays == [("e2", "w1")]


def test_an_environment_that_is_still_being_opened_is_not_routed(worker):
    worker.beat("w1", "e1", opening=["e1"])
    assert worker.routes.find("e1") is None
    worker.beat("w1", "e1")
    assert worker.routes.forwardable("e1").worker_id == "w1"
