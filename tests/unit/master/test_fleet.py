import pytest

from gym_queue.errors import EnvLost, WorkerNotFound
from gym_queue.protocol.fleet import WorkerStatus
from gym_queue.protocol.sessions import CreateReply


def ready(world, env_id, worker_id):
    world.routes.reserve(env_id, worker_id, f"http://{worker_id}:5900")
    world.routes.ready(CreateReply(env_id=env_id, worker_id=worker_id))


def test_a_worker_is_healthy_then_unhealthy_then_dead_as_it_stays_silent(world):
    world.register("w1")
    assert world.fleet.status("w1") is WorkerStatus.HEALTHY
    world.clock.now += 31
    assert world.fleet.status("w1") is WorkerStatus.UNHEALTHY
    world.clock.now += 60
    world.fleet.tick()
    assert world.fleet.status("w1") is WorkerStatus.DEAD
    assert world.lost == ["w1"]


def test_a_heartbeat_brings_an_unhealthy_worker_back(world):
    world.register("w1")
    world.clock.now += 31
    world.beat("w1")
    assert world.fleet.status("w1") is WorkerStatus.HEALTHY


def test_environments_of_a_dead_worker_are_lost(world):
    world.register("w1")
    ready(world, "e1", "w1")
    world.clock.now += 91
    world.fleet.tick()
    with pytest.raises(EnvLost, match="silent for 91 s"):
        world.routes.forwardable("e1")


@pytest.mark.parametrize("known", [True, False])
def test_a_heartbeat_of_an_unknown_or_dead_worker_asks_it_to_register(world, known):
    if known:
        world.register("w1")
        world.clock.now += 91
        world.fleet.tick()
    with pytest.raises(WorkerNotFound) as caught:
        world.beat("w1")
    assert caught.value.details == {"action": "reregister"}


def test_a_heartbeat_older_than_the_last_is_ignored(world):
    world.register("w1")
    assert world.beat("w1", "e1", sequence=5)
    assert not world.beat("w1", sequence=4)
    assert not world.beat("w1", sequence=5)
    assert world.routes.forwardable("e1").worker_id == "w1"


def test_a_heartbeat_brings_environments_a_new_master_does_not_know(world):
    world.register("w1")
    world.beat("w1", "e1", "e2")
    assert world.routes.count("w1") == 2


def test_a_heartbeat_does_not_bring_back_a_closed_environment(world):
    world.register("w1")
    ready(world, "e1", "w1")
    world.routes.remove("e1", "closed")
    world.beat("w1", "e1")
    assert world.routes.find("e1") is None


def test_a_late_heartbeat_does_not_unroute_a_fresh_environment(world):
    world.register("w1")
    ready(world, "e1", "w1")
    world.clock.now += 9
    world.beat("w1")
    assert world.routes.forwardable("e1")


def test_an_environment_a_worker_stops_reporting_is_lost(world):
    world.register("w1")
    ready(world, "e1", "w1")
    world.clock.now += 11
    world.beat("w1")
    with pytest.raises(EnvLost, match="does not have it any more"):
        world.routes.forwardable("e1")


def test_a_heartbeat_leaves_a_create_on_its_way_alone(world):
    world.register("w1")
    world.routes.reserve("e1", "w1", "http://w1:5900")
    world.clock.now += 11
    world.beat("w1")
    assert world.routes.count("w1") == 1


def test_draining_and_back(world):
    world.register("w1")
    world.fleet.set_draining("w1", draining=True)
    assert world.fleet.status("w1") is WorkerStatus.DRAINING
    world.beat("w1")
    assert world.fleet.status("w1") is WorkerStatus.DRAINING
    world.fleet.set_draining("w1", draining=False)
    assert world.fleet.status("w1") is WorkerStatus.HEALTHY


def test_a_deregistered_worker_is_gone_with_its_environments(world):
    world.register("w1")
    ready(world, "e1", "w1")
    world.fleet.deregister("w1", "its worker left")
    assert world.fleet.entries() == ()
    assert world.lost == ["w1"]
    with pytest.raises(EnvLost):
        world.routes.forwardable("e1")


@pytest.mark.parametrize("call", ["deregister", "drain", "status"])
def test_calls_about_an_unknown_worker_say_so(world, call):
    calls = {
        "deregister": lambda: world.fleet.deregister("nope", ""),
        "drain": lambda: world.fleet.set_draining("nope", draining=True),
        "status": lambda: world.fleet.status("nope"),
    }
    with pytest.raises(WorkerNotFound, match="no worker nope"):
        calls[call]()


def test_a_worker_long_dead_is_forgotten(world):
    world.register("w1")
    world.clock.now += 91
    world.fleet.tick()
    world.clock.now += 601
    world.fleet.tick()
    assert world.fleet.entries() == ()


def test_an_entry_counts_slots_calls_and_failures(world):
    world.register("w1", max_envs=4)
    ready(world, "e1", "w1")
    world.routes.reserve("e2", "w1", "http://w1:5900")
    world.fleet.count_call("w1", failed=False)
    world.fleet.count_call("w1", failed=True)
    (entry,) = world.fleet.entries()
    assert (entry.env_count, entry.pending_count, entry.effective_count) == (1, 1, 2)
    assert (entry.total_requests, entry.error_count, entry.consecutive_failures) == (2, 1, 1)
    assert entry.load_percent == 50


def test_every_sign_of_room_is_told(world):
    world.register("w1")
    world.beat("w1", "e1")
    world.clock.now += 31
    world.beat("w1", "e1")
    world.beat("w1")
    world.fleet.set_draining("w1", draining=True)
    world.fleet.deregister("w1", "left")
    assert world.changes == 6


def test_a_heartbeat_that_says_nothing_new_is_not_told(world):
    world.register("w1")
    world.beat("w1", "e1")
    before = world.changes
    world.beat("w1", "e1")
    assert world.changes == before


def test_a_snapshot_is_made_anew_only_when_its_worker_has_changed(world):
    world.register("w1")
    (first,) = world.fleet.snapshots()
    assert world.fleet.snapshots()[0] is first
    world.routes.reserve("e1", "w1", "http://w1:5900")
    assert world.fleet.snapshots()[0].used == 1
    world.register("w1", max_envs=5)
    assert world.fleet.snapshots()[0].max_envs == 5


def test_a_worker_that_registers_again_keeps_everything(world):
    world.register("w1", pid=1)
    ready(world, "e1", "w1")
    world.fleet.set_draining("w1", draining=True)
    world.beat("w1", "e1", sequence=7)
    world.register("w1", pid=1)
    assert world.fleet.status("w1") is WorkerStatus.DRAINING
    assert world.lost == []
    assert not world.beat("w1", sequence=7)
    assert world.routes.forwardable("e1")


@pytest.mark.parametrize("change", [{"pid": 2}, {"url": "http://elsewhere:1"}])
def test_a_new_process_under_a_known_id_loses_what_it_does_not_report(world, change):
    world.register("w1", pid=1)
    ready(world, "e1", "w1")
    ready(world, "e2", "w1")
    world.fleet.set_draining("w1", draining=True)
    world.register("w1", **{"pid": 1, **change})
    assert world.lost == ["w1"]
    assert world.fleet.status("w1") is WorkerStatus.HEALTHY
    world.beat("w1", "e2")
    with pytest.raises(EnvLost, match="started anew"):
        world.routes.forwardable("e1")
    assert world.routes.forwardable("e2").worker_url == change.get("url", "http://w1:5900")


def test_a_new_process_that_says_what_it_has_loses_the_rest_at_once(world):
    world.register("w1", pid=1)
    ready(world, "e1", "w1")
    ready(world, "e2", "w1")
    world.register("w1", pid=2, env_ids=["e2"])
    with pytest.raises(EnvLost, match="started anew"):
        world.routes.forwardable("e1")
    assert world.routes.forwardable("e2")


def test_after_an_unread_state_unknown_environments_may_be_reported_for_a_while(world):
    world.fleet.await_reports()
    world.clock.now += 14
    assert world.fleet.is_recovering
    world.clock.now += 2
    assert not world.fleet.is_recovering


def test_the_queues_of_a_worker_started_anew_are_kept(world):
    gone = []
    world.fleet.on_lost = lambda worker_id, queues: gone.append(queues)
    world.register("w1", runners=["local"], pid=1)
    world.register("w1", runners=["local"], pid=2)
    world.fleet.deregister("w1", "left")
    assert gone == [frozenset(), frozenset({"env.local.w1"})]


def test_an_environment_on_two_workers_is_closed_on_the_one_it_is_not_routed_to(world):
    world.register("w1")
    world.register("w2")
    ready(world, "e1", "w1")
    world.beat("w2", "e1")
    assert world.strays == [("e1", "w2")]
    assert world.routes.forwardable("e1").worker_id == "w1"


def test_a_worker_that_comes_back_under_another_id_keeps_its_environments(world):
    world.register("w1")
    ready(world, "e1", "w1")
    world.register("w2", url="http://w1:5900")
    world.beat("w2", "e1")
    assert world.strays == []
    assert world.routes.forwardable("e1").worker_id == "w2"


@pytest.mark.parametrize("told", [True, False])
def test_a_lost_environment_that_comes_back_is_closed_if_its_client_heard_of_the_loss(world, told):
    world.register("w1")
    ready(world, "e1", "w1")
    world.clock.now += 91
    world.fleet.tick()
    if told:
        with pytest.raises(EnvLost):
            world.routes.forwardable("e1")
    world.register("w1")
    world.beat("w1", "e1")
    assert (world.strays == [("e1", "w1")], world.routes.find("e1") is None) == (told, told)


def test_a_closed_environment_that_its_worker_still_has_is_closed_there(world):
    world.register("w1")
    ready(world, "e1", "w1")
    world.routes.remove("e1", "closed")
    world.beat("w1", "e1")
    assert world.strays == [("e1", "w1")]


def test_a_heartbeat_of_the_process_that_bore_the_id_before_is_ignored(world):
    world.register("w1", pid=1)
    world.register("w1", pid=2)
    assert not world.beat("w1", "e1", pid=1, sequence=7)
    assert world.routes.count("w1") == 0
    assert world.beat("w1", "e2", pid=2, sequence=1)
    assert world.routes.forwardable("e2").worker_id == "w1"


def test_what_a_worker_still_has_fills_its_slots_when_it_registers_again(world):
    world.register("w1", max_envs=2)
    ready(world, "e1", "w1")
    world.clock.now += 91
    world.fleet.tick()
    world.register("w1", max_envs=2, env_ids=["e1"])
    (snapshot,) = world.fleet.snapshots()
    assert snapshot.used == 1
    assert world.routes.forwardable("e1").worker_id == "w1"


def test_an_environment_that_is_being_closed_as_a_stray_is_not_routed_when_the_other_is_gone(world):
    world.register("w1")
    world.register("w2")
    world.routes.reserve("e1", "w2", "http://w2:5900")
    world.beat("w1", "e1")
    world.routes.release("e1")
    world.beat("w1", "e1")
    assert world.strays == [("e1", "w1")] * 2
    assert world.routes.find("e1") is None
