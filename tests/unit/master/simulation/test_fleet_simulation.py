"""A fleet under arbitrary interleavings of what workers, clients, the network and time do to it."""

from __future__ import annotations

import os

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gym_queue.errors import (
    Conflict,
    EnvTimeout,
    GymQueueError,
    HookFailed,
    RunnerFailed,
    RunnerUnavailable,
)
from gym_queue.protocol.sessions import CreateRequest
from tests.unit.master.simulation import invariants
from tests.unit.master.simulation.cluster import HEARTBEAT_S, Cluster

EXAMPLES = int(os.environ.get("GYM_QUEUE_SIMULATIONS", "60"))
"""Histories to try; more find what is rarer."""
IS_SHORT = "GYM_QUEUE_SIMULATIONS" not in os.environ

WORKER_IDS = ("w1", "w2", "w3")
RUNNERS = (("local",), ("docker",), ("local", "docker"))
FAILURES: tuple[GymQueueError, ...] = (
    RunnerFailed("it died"),
    RunnerUnavailable("it needs another runner"),
    HookFailed("a hook failed"),
    EnvTimeout("it hung"),
)
index = st.integers(0, 15)
worker_ids = st.sampled_from(WORKER_IDS)


class FleetMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        self.before = invariants.look(self.cluster)
        self.urls = 0
        self.known: list[str] = []

    @initialize(
        kinds=st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans()), min_size=2, max_size=3)
    )
    def start(self, kinds):
        for worker_id, (max_envs, is_sequenced, has_queues) in zip(WORKER_IDS, kinds, strict=False):
            self.start_worker(worker_id, max_envs, RUNNERS[-1], is_sequenced, has_queues, False)

    @rule(
        worker_id=worker_ids,
        max_envs=st.integers(0, 3),
        runners=st.sampled_from(RUNNERS),
        is_sequenced=st.booleans(),
        has_queues=st.booleans(),
        moves=st.booleans(),
    )
    def start_worker(self, worker_id, max_envs, runners, is_sequenced, has_queues, moves):
        self.urls += moves
        self.cluster.start_worker(
            worker_id,
            f"http://{worker_id}-{self.urls}:5900",
            max_envs=max_envs,
            runners=runners,
            is_sequenced=is_sequenced,
            has_queues=has_queues,
        )

    @rule(worker_id=worker_ids, in_order=st.booleans())
    def end_worker(self, worker_id, in_order):
        if in_order:
            self.cluster.leave(worker_id)
        else:
            self.cluster.kill(worker_id)

    @rule(worker_id=worker_ids, draining=st.booleans())
    def drain(self, worker_id, draining):
        self.cluster.drain(worker_id, draining)

    @precondition(lambda self: self.cluster.alive)
    @rule(at=index, late=st.booleans())
    def beat(self, at, late):
        process = pick(self.cluster.alive, at)
        (self.cluster.send_beat if late else self.cluster.beat)(process)

    @precondition(lambda self: self.cluster.beats)
    @rule(at=index, again=st.booleans())
    def late_beat(self, at, again):
        self.cluster.deliver_beat(at % len(self.cluster.beats), again=again)

    @rule(
        number=st.integers(1, 3),
        runner=st.sampled_from([None, "local", "docker"]),
        priority=st.sampled_from([0, 0, 5]),
        patience_s=st.sampled_from([None, None, 0.0, 20.0]),
    )
    def ask(self, number, runner, priority, patience_s):
        for _ in range(number):
            self.known.append(f"e{len(self.known)}")
            fields = {"runner": runner, "priority": priority, "queue_timeout_s": patience_s}
            self.cluster.ask(CreateRequest(env_id=self.known[-1], env_dir=self.known[-1], **fields))

    @precondition(lambda self: self.known)
    @rule(at=index)
    def ask_for_known(self, at):
        env_id = pick(self.known, at)
        self.cluster.ask(CreateRequest(env_id=env_id, env_dir=env_id))

    @precondition(lambda self: self.cluster.asks)
    @rule(at=index)
    def ask_again(self, at):
        self.cluster.ask(pick(self.cluster.asks, at).request)

    @precondition(lambda self: self.cluster.asks)
    @rule(at=index)
    def ask_with_another_body(self, at):
        request = pick(self.cluster.asks, at).request.model_copy(update={"env_dir": "another"})
        task = self.cluster.ask(request).task
        assert isinstance(task.exception(), Conflict) if task.done() else True

    @precondition(lambda self: self.cluster.asks)
    @rule(at=index)
    def hang_up(self, at):
        self.cluster.hang_up(pick(self.cluster.asks, at))

    @precondition(lambda self: self.known)
    @rule(at=index)
    def close(self, at):
        self.cluster.close(pick(self.known, at))

    @precondition(lambda self: self.known)
    @rule(at=index)
    def call(self, at):
        self.cluster.call(pick(self.known, at))

    @rule()
    def open_all(self):
        for process in self.cluster.alive:
            self.finish_all(process)

    @precondition(lambda self: self.cluster.alive)
    @rule(at=index)
    def take_task(self, at):
        self.cluster.take_task(pick(self.cluster.alive, at))

    @precondition(lambda self: self.cluster.alive)
    @rule(at=index, failure=st.sampled_from([None, None, None, None, *FAILURES]), late=st.booleans())
    def open_env(self, at, failure, late):
        process = pick(self.cluster.alive, at)
        self.cluster.keeps_replies = late
        self.cluster.take_task(process)
        if process.opening:
            self.cluster.finish(process, pick(sorted(process.opening), at), failure)
        self.cluster.keeps_replies = False

    @precondition(lambda self: self.cluster.replies)
    @rule(at=index)
    def late_reply(self, at):
        self.cluster.deliver_reply(at % len(self.cluster.replies))

    @precondition(lambda self: any(process.held for process in self.cluster.alive))
    @rule(at=index)
    def reap(self, at):
        process = pick([process for process in self.cluster.alive if process.held], at)
        self.cluster.reap(process, pick(sorted(process.held), at))

    @rule()
    def break_or_mend_broker(self):
        self.cluster.post.is_down = not self.cluster.post.is_down

    @rule()
    def slow_or_mend_network(self):
        network = self.cluster.network
        network.is_slow = not network.is_slow
        if not network.is_slow:
            self.cluster.loop.do(network.let_through)

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0, 11.0, 31.0]))
    def pass_time(self, seconds):
        self.cluster.pass_time(seconds)

    @rule(beats=st.integers(1, 4))
    def pass_time_with_heartbeats(self, beats):
        for _ in range(beats):
            self.settle_workers()

    @invariant()
    def holds(self):
        self.cluster.harvest()
        invariants.check_slots(self.cluster, self.before)
        invariants.check_owned(self.cluster)
        invariants.check_queue(self.cluster)
        invariants.check_order(self.cluster, self.before)
        invariants.check_troubles(self.cluster)
        self.before = invariants.look(self.cluster)

    def teardown(self):
        try:
            self.come_to_rest()
        finally:
            self.cluster.end()

    def come_to_rest(self) -> None:
        """Mend what is broken, let everybody answer and time pass; then all must agree."""
        cluster = self.cluster
        cluster.post.is_down, cluster.network.is_slow = False, False
        cluster.loop.do(cluster.network.let_through)
        cluster.beats.clear()
        for _ in range(30):
            while cluster.replies:
                self.late_reply(0)
            for process in cluster.alive:
                self.finish_all(process)
            self.settle_workers()
            cluster.harvest()
        self.holds()
        invariants.check_quiet(cluster)

    def finish_all(self, process) -> None:
        while process.opening or any(self.cluster.post.queues.get(name) for name in process.queues):
            self.cluster.take_task(process)
            for env_id in sorted(process.opening):
                self.cluster.finish(process, env_id, None)

    def settle_workers(self) -> None:
        for process in self.cluster.alive:
            self.cluster.beat(process)
        self.cluster.pass_time(HEARTBEAT_S)


def pick(pool, at):
    return pool[at % len(pool)]


TestFleet = FleetMachine.TestCase
TestFleet.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=50,
    derandomize=IS_SHORT,
    database=None,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
)
