from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from gym_queue.client import AsyncRemoteGymEnv, RemoteGymEnv, RemoteVectorEnv
from gym_queue.client.leases import renew
from gym_queue.client.network import LoopNetwork
from gym_queue.client.transport import Carrier
from tests.unit.client.conftest import answer
from tests.waiting import wait_until

CREATED = answer(201, {"env_id": "e1", "env_token": "t"})
CLOSED = answer(200, {"status": "closed"})
STEPPED = answer(200, {"observation": {}, "reward": 0, "done": False, "info": {}})
RENEWED = answer(200, {"status": "renewed", "lease_s": 0.06})
LEASE_S = 0.06


def opened(server, **options) -> RemoteGymEnv:
    return RemoteGymEnv(server.url, env_dir="/there", token="secret", **{"lease_s": LEASE_S, **options})


UNHURRIED_S = 0.9
"""A lease whose renewals have the time to be answered on a busy host."""


async def renew_to_the_end(server, lease_s: float = LEASE_S) -> None:
    carrier = Carrier(server.url, None, LoopNetwork())
    try:
        async with asyncio.timeout(10):
            await renew(carrier, "e1", lease_s)
    finally:
        carrier.close()


def lease_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "gym-queue-leases"]


@pytest.fixture
def leasing(server):
    """A server that renews leases."""
    server.always["keepalive"] = RENEWED
    return server


def test_a_lease_is_renewed_while_the_client_does_nothing_and_not_after_the_close(leasing):
    leasing.then(CREATED, CLOSED)
    with opened(leasing):
        wait_until(lambda: len(leasing.aside) >= 3)
    assert leasing.seen[0].body["lease_s"] == LEASE_S
    seen = leasing.aside[0]
    assert (seen.method, seen.path) == ("POST", "/envs/e1/keepalive")
    assert seen.headers["authorization"] == "Bearer secret"
    assert_renewals_ended(leasing)


def assert_renewals_ended(server) -> None:
    """See that a lease that begins now is renewed several times, and no other meanwhile."""
    others = len(server.aside)
    server.then(answer(201, {"env_id": "later"}), CLOSED)
    with opened(server):
        wait_until(lambda: sum("later" in seen.path for seen in server.aside) >= 3)
    after = [seen.path for seen in server.aside[others:] if "later" not in seen.path]
    assert len(after) <= 1  # one may have been on its way


def test_without_a_lease_there_is_nothing_to_renew(leasing):
    leasing.then(CREATED)
    env = opened(leasing, lease_s=None)
    assert_renewals_ended(leasing)
    assert not [seen for seen in leasing.aside if "e1" in seen.path]
    leasing.then(CLOSED)
    env.close()
    assert "lease_s" not in leasing.seen[0].body


def test_a_lease_is_renewed_while_a_step_is_in_flight(leasing):
    answered = threading.Event()

    def step_later() -> bytes:
        assert answered.wait(10)
        return STEPPED

    leasing.then(CREATED, step_later, CLOSED)
    with opened(leasing) as env, ThreadPoolExecutor(1) as pool:
        stepping = pool.submit(env.step, [])
        wait_until(lambda: len(leasing.seen) == 2)
        known = len(leasing.aside)
        wait_until(lambda: len(leasing.aside) >= known + 3)
        answered.set()
        assert stepping.result(10)[3] == {}


def renewals(server) -> Counter[str]:
    """Return how often each environment's lease was renewed."""
    return Counter(seen.path for seen in server.aside)


def test_many_environments_share_one_thread_and_its_connections(leasing):
    leasing.then(*[answer(201, {"env_id": f"e{index}"}) for index in range(8)], *[CLOSED] * 8)
    envs = [opened(leasing, lease_s=3.0) for _ in range(8)]
    wait_until(
        lambda: all(count >= 3 for count in renewals(leasing).values()) and len(renewals(leasing)) == 8
    )
    assert len(lease_threads()) == 1
    assert leasing.connections < 8 + 8 * 3, "fewer than one a renewal"
    for env in envs:
        env.close()


def test_an_environment_that_is_dropped_unclosed_is_not_kept(leasing):
    leasing.then(CREATED)
    env = opened(leasing)
    home = env._core._opened.opening.home
    wait_until(lambda: leasing.aside)
    del env
    gc.collect()
    home.close()
    assert_renewals_ended(leasing)


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_that_knows_no_leases_is_left_alone_quietly(server, status, caplog):
    server.always["keepalive"] = answer(status, {"detail": "Not Found"})
    asyncio.run(renew_to_the_end(server, UNHURRIED_S))
    assert len(server.aside) == 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_lost_environment_is_not_kept(server):
    server.always["keepalive"] = answer(410, {"error": "gone", "code": "env_lost"})
    asyncio.run(renew_to_the_end(server, UNHURRIED_S))
    assert len(server.aside) == 1


def test_errors_of_the_server_are_survived_and_told_once(server, caplog):
    server.always["keepalive"] = answer(500, {"error": "broken"})

    async def renew_for_a_while():
        renewing = asyncio.create_task(renew_to_the_end(server))
        await asyncio.to_thread(wait_until, lambda: len(server.aside) >= 3)
        server.always["keepalive"] = RENEWED
        known = len(server.aside)
        await asyncio.to_thread(wait_until, lambda: len(server.aside) >= known + 2)
        renewing.cancel()
        await asyncio.wait([renewing])

    asyncio.run(renew_for_a_while())
    assert [record.levelname for record in caplog.records if "broken" in record.message].count("WARNING") == 1


def test_asyncio_clients_renew_in_their_own_loop(leasing):
    async def idle():
        env = await AsyncRemoteGymEnv.open(leasing.url, env_dir="/there", token="t", lease_s=LEASE_S)
        await asyncio.to_thread(wait_until, lambda: len(leasing.aside) >= 2)
        await env.close()
        await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    leasing.then(CREATED, CLOSED)
    left = asyncio.run(idle())
    assert all(task.cancelled() for task in left)


def test_a_vector_renews_the_leases_of_all_and_ends_with_its_close(leasing):
    leasing.then(answer(201, {"env_id": "a"}), answer(201, {"env_id": "b"}), CLOSED, CLOSED)
    config = {"remote_url": leasing.url, "env_dir": "/there", "token": "t", "lease_s": LEASE_S}
    with RemoteVectorEnv([config] * 2):
        wait_until(lambda: len({seen.path for seen in leasing.aside}) == 2)


PROGRAM = """
import sys
from gym_queue.client import RemoteGymEnv
env = RemoteGymEnv(sys.argv[1], env_dir="/there", token="t", lease_s=0.9)
print("opened", flush=True)
sys.stdin.readline()
"""


def test_the_thread_keeps_no_program_alive_and_dies_with_it(leasing):
    leasing.then(CREATED)
    command = [sys.executable, "-W", "error", "-c", PROGRAM, leasing.url]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: len(leasing.aside) >= 2, 30)
    _, errors = process.communicate("\n", timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert_renewals_ended(leasing)


FORKING = """
import os, sys
from gym_queue.client import RemoteGymEnv
first = RemoteGymEnv(sys.argv[1], env_dir="/there", token="t", lease_s=0.06)
if os.fork() == 0:
    second = RemoteGymEnv(sys.argv[1], env_dir="/there", token="t", lease_s=0.06)
    os.read(0, 1)
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_forked_process_renews_what_it_opens_itself(leasing):
    leasing.then(CREATED, answer(201, {"env_id": "of-the-child"}))
    command = [sys.executable, "-c", FORKING, leasing.url]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    wait_until(lambda: sum("of-the-child" in seen.path for seen in leasing.aside) >= 2, 30)
    process.communicate("\n", timeout=20)
    assert process.returncode == 0
