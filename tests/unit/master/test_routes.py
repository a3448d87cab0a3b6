import pytest

from gym_queue.errors import EnvLost, EnvNotFound
from gym_queue.master.routes import REMEMBERED, Routes, RouteState
from gym_queue.protocol.sessions import CreateReply


def test_a_reserved_environment_holds_a_slot_but_is_not_forwarded():
    routes = Routes()
    routes.reserve("e1", "w1", "http://w1")
    assert routes.count("w1") == 1
    with pytest.raises(EnvNotFound, match="still being created"):
        routes.forwardable("e1")


def test_a_created_environment_is_forwarded_to_its_worker():
    routes = Routes()
    routes.reserve("e1", "w1", "http://w1")
    routes.ready(CreateReply(env_id="e1", worker_id="w1", worker_url="http://w1"))
    route = routes.forwardable("e1")
    assert (route.worker_url, route.state) == ("http://w1", RouteState.READY)


def test_a_closed_environment_is_told_apart_from_one_that_never_was():
    routes = Routes()
    routes.adopt("e1", "w1", "http://w1")
    routes.remove("e1", "closed")
    assert (routes.count("w1"), routes.closed_count) == (0, 1)
    with pytest.raises(EnvNotFound, match="was closed"):
        routes.forwardable("e1")
    with pytest.raises(EnvNotFound, match="does not exist"):
        routes.forwardable("e2")


def test_a_lost_environment_says_so():
    routes = Routes()
    routes.adopt("e1", "w1", "http://w1")
    routes.remove("e1", "its worker w1 died")
    with pytest.raises(EnvLost, match="w1 died"):
        routes.forwardable("e1")


def test_a_released_reservation_leaves_no_trace():
    routes = Routes()
    routes.reserve("e1", "w1", "http://w1")
    routes.release("e1")
    assert routes.count("w1") == 0
    assert routes.ended("e1") is None


def test_an_environment_sent_to_another_worker_holds_one_slot():
    routes = Routes()
    routes.reserve("e1", "w1", "http://w1")
    routes.reserve("e1", "w2", "http://w2")
    assert (routes.count("w1"), routes.count("w2")) == (0, 1)


def test_memory_of_ended_environments_is_bounded():
    routes = Routes()
    for number in range(REMEMBERED + 10):
        routes.remove(f"e{number}", "closed")
    assert routes.ended("e0") is None
    assert routes.ended(f"e{REMEMBERED + 9}") == "closed"
