"""How creates reach Celery workers, and which replies count."""

import asyncio

import pytest

from gym_queue.broker.app import make_app
from gym_queue.broker.sender import Sender
from gym_queue.errors import BadReply, RunnerFailed
from gym_queue.master.dispatch import CeleryDispatcher
from gym_queue.master.placement import Placement
from gym_queue.protocol.sessions import CreateRequest
from tests.unit.master.desk import settle

TO_W2 = Placement("w2", "http://w2", "local", "env.local.w2")


def opened(worker_id, env_id="e1"):
    return {"env_id": env_id, "worker_id": worker_id, "worker_url": f"http://{worker_id}"}


def answer_of(*results):
    """Return what a create on w2 is answered with, when these results come in."""

    async def open_env():
        sender = Sender(make_app("memory://", name="test"))
        dispatcher = CeleryDispatcher(sender, "r", timeout_s=5)
        asked = asyncio.ensure_future(dispatcher.open(TO_W2, CreateRequest(env_id="e1", env_dir="e")))
        await settle()
        for result in results:
            dispatcher.on_reply("e1", "SUCCESS", result)
        try:
            return await asked
        finally:
            sender.close()

    return asyncio.run(open_env())


def test_the_reply_of_a_worker_that_was_given_up_is_not_taken_for_that_of_the_next():
    assert answer_of(opened("w1"), opened("w2")).worker_url == "http://w2"


def test_a_failure_of_a_worker_that_was_given_up_does_not_fail_the_create_on_the_next():
    async def open_env():
        sender = Sender(make_app("memory://", name="test"))
        dispatcher = CeleryDispatcher(sender, "r", timeout_s=5)
        asked = asyncio.ensure_future(dispatcher.open(TO_W2, CreateRequest(env_id="e1", env_dir="e")))
        await settle()
        for worker_id in ("w1", "w2"):
            assert not asked.done()
            failure = {"exc_type": "RunnerFailed", "exc_message": ["no disk", {"worker_id": worker_id}]}
            dispatcher.on_reply("e1", "FAILURE", failure)
        sender.close()
        return await asked

    with pytest.raises(RunnerFailed, match="no disk"):
        asyncio.run(open_env())


def test_what_a_worker_opened_and_nobody_waits_for_is_told():
    late = []
    sender = Sender(make_app("memory://", name="test"))
    dispatcher = CeleryDispatcher(
        sender, "r", timeout_s=5, on_late=lambda found: late.append(found.worker_id)
    )
    dispatcher.on_reply("e1", "SUCCESS", opened("w1"))
    dispatcher.on_reply("e2", "FAILURE", {})
    sender.close()
    assert late == ["w1"]


@pytest.mark.parametrize("result", [None, {}, opened("w2", "../x"), {**opened("w2"), "open_s": "x" * 999}])
def test_a_reply_that_is_none_is_named(result):
    with pytest.raises(BadReply, match="worker w2 answered create e1 with something else") as caught:
        answer_of(result)
    assert len(str(caught.value)) < 400
