"""Real steps of null environments, through master and worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from bench.effort import Effort
from bench.fleets import Started, started
from bench.goals import Bound, Goal, Outcome, Row
from bench.wrk import Request, load
from gym_queue.protocol.observations import MSGPACK_TYPE
from gym_queue.stress.envs import STEP, Env, open_envs
from gym_queue.stress.plan import Target, null_spec
from gym_queue.web.server import LoopThread

WORKERS, ENVS = 2, 32
OPEN_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Running:
    """A fleet with open environments."""

    fleet: Started
    envs: Sequence[Env]

    def request(self, envs: Sequence[Env]) -> Request:
        """Return steps of these environments."""
        paths = [f"/envs/{env.env_id}/step" for env in envs]
        return Request("POST", paths, self.fleet.token, STEP.decode(), MSGPACK_TYPE)


@contextmanager
def running() -> Iterator[Running]:
    """Start one master, two workers and 32 environments, each in its own process."""
    with started(WORKERS, ENVS) as fleet:
        opened = open_envs(Target(fleet.url, fleet.token, null_spec()), ENVS)
        loop = LoopThread()
        loop.start()
        try:
            envs = loop.run(opened.__aenter__(), OPEN_TIMEOUT_S)
            yield Running(fleet, envs)
            loop.run(opened.__aexit__(None, None, None), OPEN_TIMEOUT_S)
        finally:
            loop.stop()


def rows() -> list[Row[Running]]:
    """Return the rows measured here."""
    least, most = Bound.AT_LEAST, Bound.AT_MOST
    step = "real step of a null env through master and worker, 1 connection, p50"
    rate = "real steps, 32 null envs, 2 workers, 32 connections"
    return [
        Row(
            [
                Goal("step-latency", step, "ms", most, 0.6, binding=False),
                Goal("step-ratio", step, "ms", most, 1.4, "straight"),
            ],
            _latency,
        ),
        Row([Goal("step-rate", rate, "/s", least, 6000, binding=False)], _rate),
    ]


def _latency(running: Running, effort: Effort) -> list[Outcome]:
    env = running.envs[0]
    request = running.request([env])
    ways = {
        "master": partial(load, running.fleet.url, request, connections=1),
        "worker": partial(load, env.worker_url, request, connections=1),
    }
    rounds = effort.in_turn(ways)
    ours = [found["master"].p50_us / 1000 for found in rounds]
    straight = [found["worker"].p50_us / 1000 for found in rounds]
    errors = sum(found["master"].errors for found in rounds)
    return [Outcome(ours, errors=errors), Outcome(ours, straight, errors)]


def _rate(running: Running, effort: Effort) -> list[Outcome]:
    request = running.request(running.envs)
    rounds = effort.in_turn({"master": partial(load, running.fleet.url, request, connections=ENVS)})
    loads = [found["master"] for found in rounds]
    return [Outcome([found.rate for found in loads], errors=sum(found.errors for found in loads))]
