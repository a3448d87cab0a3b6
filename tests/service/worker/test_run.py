"""A whole worker in a process of its own: creates by Celery, and its orderly end."""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gym_queue.broker.app import make_app
from gym_queue.broker.embedded import EmbeddedBroker
from gym_queue.broker.replies import ReplyListener
from gym_queue.broker.sender import Sender
from gym_queue.protocol.queues import CREATE_TASK
from gym_queue.web.server import LoopThread
from tests.service.worker.masters import SmallMaster
from tests.service.worker.programs import WorkerProgram
from tests.service.worker.rig import Mark, spec
from tests.waiting import wait_until

WAIT_S = 30.0


class Creates:
    """Sends creates as a master does, and waits for how they end."""

    def __init__(self, sender: Sender, reply_to: str) -> None:
        self._sender, self._reply_to = sender, reply_to
        self.replies: queue.SimpleQueue[tuple[str, str, Any, str | None]] = queue.SimpleQueue()

    def send(self, env_id: str, env_spec: dict[str, Any]) -> tuple[str, Any]:
        """Return the create's final state and result."""
        request = {"env_id": env_id, "env_spec": env_spec}
        asyncio.run(
            self._sender.send(
                CREATE_TASK,
                {"request": request},
                task_id=env_id,
                queue="env.fake.w1",
                reply_to=self._reply_to,
            )
        )
        while True:
            task_id, state, result, _ = self.replies.get(timeout=WAIT_S)
            if task_id == env_id and state != "STARTED":
                return state, result


@pytest.fixture
def broker_url(tmp_path: Path) -> Iterator[str]:
    broker = EmbeddedBroker(tmp_path, kind="fake")
    yield broker.start()
    broker.stop()


@contextmanager
def creates_on(broker_url: str) -> Iterator[Creates]:
    app = make_app(broker_url, name="test-master")
    sender = Sender(app)
    creates = Creates(sender, "gym_queue.replies.m1")
    listener = ReplyListener(app, "m1", lambda *reply: creates.replies.put(reply))
    listener.start()
    yield creates
    listener.stop()
    sender.close()
    app.close()


def test_a_celery_worker_opens_environments_and_ends_without_a_trace(
    broker_url: str, short_dir: Path, mark: Mark
) -> None:
    settings = {"worker_id": "w1", "broker_url": broker_url}
    with (
        WorkerProgram(short_dir / "tmp", **settings) as worker,
        worker.wait_ready() as client,
        creates_on(broker_url) as creates,
    ):
        state, opened = creates.send("e1", spec(hook=mark.daemons()))
        assert (state, opened["env_id"], opened["worker_id"]) == ("SUCCESS", "e1", "w1")
        assert opened["open_s"] > 0
        assert httpx.post(f"{opened['worker_url']}/envs/e1/reset", timeout=30).status_code == 200

        state, failure = creates.send("e2", {"id": "x", "observation": []})
        assert (state, failure["exc_type"]) == ("FAILURE", "SpecInvalid")
        state, failure = creates.send("../e3", spec())
        assert (state, failure["exc_type"]) == ("FAILURE", "RequestInvalid")
        assert set(client.get("/envs/list").json()["environments"]) == {"e1"}

        family = worker.processes()
        assert worker.terminate() == 0
        assert not any(each.is_running() for each in family)
        assert (worker.left(), mark.count()) == ([], 0)
    log = worker.log_text()
    assert "Traceback" not in log
    assert "SecurityWarning" not in log
    assert "superuser" not in log


@pytest.mark.parametrize("broker_url", [None, "redis+socket:///nowhere/broker.sock?virtual_host=0"])
def test_a_worker_of_a_master_registers_beats_drains_and_leaves(
    short_dir: Path, broker_url: str | None
) -> None:
    loop = LoopThread()
    loop.start()
    master = SmallMaster(loop)
    master.broker_url = broker_url
    master.start()
    with WorkerProgram(short_dir / "tmp", master_url=master.url, worker_id="w1") as worker:
        with worker.wait_ready() as client:
            assert client.get("/health").json()["master_status"] == "registered"
        wait_until(lambda: master.bodies("heartbeat"))
        assert worker.terminate() == 0
        assert worker.left() == []
    assert (
        master.bodies("register")[-1]["queues"] == []
    )  # this master has no broker, or one that this worker cannot open
    assert [call for call, _ in master.said if call != "heartbeat"][-2:] == ["drain", "deregister"]
    master.stop()
    loop.stop()


def test_a_celery_worker_whose_broker_is_away_still_ends_on_sigterm(short_dir: Path) -> None:
    with WorkerProgram(short_dir / "tmp", broker_url="redis://127.0.0.1:9/0") as worker:
        with worker.wait_ready() as client:
            assert client.get("/health").status_code == 200
        assert worker.terminate() == 0
        assert worker.left() == []


def test_a_worker_that_is_stopped_while_it_waits_for_its_master_ends_well() -> None:
    command = [sys.executable, "-m", "gym_queue.cli.worker", "--master-url", "http://127.0.0.1:9"]
    with subprocess.Popen(
        [*command, "--port", "0", "--skip-preflight"], stderr=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stderr is not None
        assert any("waiting for the master" in line for line in worker.stderr)
        worker.terminate()
        assert "Traceback" not in worker.stderr.read()
    assert worker.returncode == 0


def test_a_worker_refused_by_its_master_says_why_in_one_line(short_dir: Path) -> None:
    with WorkerProgram(short_dir / "tmp", master_url="http://[nonsense") as worker:
        assert worker.read_line().startswith("request_invalid: the master URL")
        assert worker.popen.wait(10) == 1
        assert "Traceback" not in worker.log_text()
