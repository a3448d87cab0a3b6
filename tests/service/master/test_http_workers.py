"""Creates on workers that speak HTTP alone."""

from tests.waiting import wait_until


def clients_of(master, env_id):
    return master.http.get(f"/envs/{env_id}").json()["clients"]


def test_an_environment_is_known_by_the_id_its_worker_gave_it(master, worker):
    worker.own_id = "its-own-id"
    worker.register(master.http)
    reply = master.create("e1")
    assert (reply.status_code, reply.json()["env_id"]) == (201, "its-own-id")
    assert master.http.get("/envs/its-own-id/session_info").json()["asked_of"] == "its-own-id"
    assert master.create("e1").json()["env_id"] == "its-own-id"
    assert len(worker.creates) == 1


def test_an_answer_that_is_no_id_is_a_bad_reply_and_leaks_no_slot(master, worker):
    worker.own_id = "../../etc"
    worker.register(master.http)
    reply = master.create("e1")
    assert (reply.status_code, reply.json()["code"]) == (502, "bad_reply")
    assert master.http.get("/workers/list").json()["workers"][0]["effective_count"] == 0


def test_environments_created_by_http_are_counted(master, worker):
    worker.register(master.http)
    master.create("e1")
    assert master.http.get("/workers/list").json()["aggregated"]["total_envs_created"] == 1


def test_a_create_on_its_way_to_a_worker_that_leaves_fails_at_once(master, worker):
    worker.gate.clear()
    worker.register(master.http)
    asked = master.creating("e1")
    wait_until(lambda: worker.creates)
    master.http.post("/workers/deregister", json={"worker_id": "w1"})
    assert asked.result(10).json()["code"] == "worker_unreachable"


def test_a_create_on_its_way_to_a_worker_that_is_started_anew_is_sent_to_its_successor(master, start_worker):
    old, new = start_worker(), start_worker()
    old.gate.clear()
    old.register(master.http)
    asked = master.creating("e1")
    wait_until(lambda: old.creates)
    old.says_it_is = "somebody else"
    assert new.register(master.http, metadata={"pid": 2}).status_code == 201
    assert asked.result(10).json()["worker_url"] == new.url


def test_a_client_that_left_and_asks_again_gets_its_environment(master, worker):
    worker.gate.clear()
    worker.register(master.http)
    master.ask_and_leave("e1", lambda: wait_until(lambda: worker.creates))
    wait_until(lambda: clients_of(master, "e1") == 0)
    asked = master.creating("e1")
    wait_until(lambda: clients_of(master, "e1") == 1)
    worker.gate.set()
    assert asked.result(10).json()["env_id"] == "e1"
    assert (len(worker.creates), worker.closes) == (1, [])


def test_an_environment_whose_client_left_is_closed_however_often_that_takes(master, worker):
    worker.close_statuses = [500]
    worker.gate.clear()
    worker.register(master.http)
    master.ask_and_leave("e1", lambda: wait_until(lambda: worker.creates))
    wait_until(lambda: clients_of(master, "e1") == 0)
    worker.gate.set()
    wait_until(lambda: worker.closes == ["e1", "e1"])
    assert master.http.get("/envs/e1").json()["state"] == "closed"


def test_an_environment_opened_too_late_is_closed_at_its_workers_heartbeats(start_master, worker):
    master = start_master(create_timeout_s=0.2)
    worker.close_statuses = [500]
    worker.gate.clear()
    worker.register(master.http)
    assert master.create("e1").json()["code"] == "env_timeout"
    worker.gate.set()
    wait_until(lambda: worker.beat(master.http, "e1") and len(worker.closes) >= 2)
    assert master.http.get("/envs/list").json()["total"] == 0


def test_a_shutdown_answers_the_creates_that_wait(master, worker):
    worker.register(master.http)
    master.create("e1")
    asked = master.creating("e2")
    wait_until(lambda: master.http.get("/queue").json()["total"])
    master.stop()
    reply = asked.result(10)
    assert (reply.status_code, reply.json()["code"]) == (502, "master_unreachable")
    assert "the master is stopping" in reply.json()["error"]
