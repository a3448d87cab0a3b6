"""One live worker for each id."""


def test_a_second_live_worker_under_the_same_id_is_refused(master, start_worker):
    first, second = start_worker(), start_worker()
    first.register(master.http)
    reply = second.register(master.http)
    assert (reply.status_code, reply.json()["code"]) == (409, "conflict")
    assert "--worker-id" in reply.json()["error"]
    assert master.http.get("/workers/list").json()["workers"][0]["url"] == first.url


def test_a_worker_started_anew_gets_in_when_the_old_one_does_not_answer(master, start_worker):
    old, new = start_worker(), start_worker()
    old.register(master.http)
    old.stop()
    assert new.register(master.http, metadata={"pid": 2}).status_code == 201
    assert master.http.get("/workers/list").json()["workers"][0]["url"] == new.url


def test_a_worker_gets_in_when_another_one_serves_at_the_old_address(master, start_worker):
    old, new = start_worker(), start_worker()
    old.register(master.http)
    old.says_it_is = "w2"
    assert new.register(master.http).status_code == 201


def test_a_worker_started_anew_at_the_same_address_gets_in(master, worker):
    worker.register(master.http)
    assert worker.register(master.http, metadata={"pid": 2}).status_code == 201


def test_a_worker_that_registers_again_stays_drained(master, worker):
    worker.register(master.http)
    master.http.post("/workers/drain", json={"worker_id": "w1"})
    worker.register(master.http)
    assert master.http.get("/workers/list").json()["workers"][0]["status"] == "draining"
