"""What must hold after every step, and what must hold once all is quiet."""

from __future__ import annotations

from dataclasses import dataclass

from gym_queue.master.placement import Placement, place
from gym_queue.master.routes import RouteState
from gym_queue.master.waiting import Waiting
from gym_queue.protocol.fleet import WorkerStatus
from tests.unit.master.simulation.cluster import Cluster


@dataclass(frozen=True)
class Place:
    """A create that waits, and all the tries that it has behind it."""

    waiting: Waiting
    tries: tuple[object, ...]

    def is_behind(self, other: Place) -> bool:
        """Return whether another of the same class came earlier."""
        mine, its = self.waiting, other.waiting
        same = (mine.need.runners, mine.need.resources) == (its.need.runners, its.need.resources)
        return same and mine.request.priority == its.request.priority and its.order < mine.order


@dataclass(frozen=True)
class Before:
    """What was before a step."""

    at: float
    queue: dict[str, Place]
    slots: dict[str, int]
    """How many slots of each worker were taken or reserved."""


def look(cluster: Cluster) -> Before:
    """Return what is now, to compare with what a step makes of it."""
    slots = {worker.worker_id: worker.used for worker in cluster.fleet.snapshots()}
    return Before(cluster.clock(), queue_of(cluster), slots)


def check_slots(cluster: Cluster, before: Before) -> None:
    """Nobody is sent more than fits, and every reservation is for a create on its way.

    Args:
        cluster: After a step.
        before: What was before it.
    """
    for worker in cluster.fleet.snapshots():
        routes = cluster.routes.of_worker(worker.worker_id)
        assert worker.used == len(routes)
        allowed = max(
            worker.max_envs, before.slots.get(worker.worker_id, 0)
        )  # one started anew may offer fewer
        if cluster.processes[worker.worker_id].is_sequenced:  # else its late heartbeats are believed
            assert worker.used <= allowed, f"{worker.worker_id} is over capacity: {routes}"
    for process in cluster.alive:
        assert len(process.env_ids) <= process.max_envs
    for route in cluster.routes.all():
        if route.state is RouteState.CREATING:
            waiting = cluster.creates.find(route.env_id)
            assert waiting is not None, f"a slot leaked: {route}"
            assert waiting.placement is not None, f"a slot leaked: {route}"
            assert waiting.placement.worker_id == route.worker_id


def check_owned(cluster: Cluster) -> None:
    """What a client has is routed to the process that has it; what was ended stays ended."""
    for env_id, process in cluster.ledger.owned.items():
        assert env_id in process.held, f"{env_id} was closed on {process.worker_id} under its client"
        route = cluster.routes.find(env_id)
        assert route is not None, f"{env_id} was un-routed: {cluster.routes.ended(env_id)}"
        assert route.state is RouteState.READY
        assert route.worker_url == process.url
    for env_id in cluster.ledger.ended:
        route = cluster.routes.find(env_id)  # a create that was cancelled on its way still fills its slot
        assert route is None or route.state is RouteState.CREATING, f"{env_id} came back"


def check_queue(cluster: Cluster) -> None:
    """Nobody waits for a slot that is there."""
    if cluster.creates._clearing.is_busy:
        return  # what is being closed may still fill its slot
    for waiting in cluster.creates.queue():
        if waiting.not_before > cluster.clock():
            continue
        barred = {**cluster.creates._refusals.of(waiting.need), **waiting.excluded}
        said = cluster.creates._full._said  # at least until the next tick
        full = {
            worker_id: why for (worker_id, only), (_, why) in said.items() if only in (None, waiting.env_id)
        }
        found = place(waiting.need, cluster.fleet.snapshots(), exclude=barred, full=full)
        assert not isinstance(found, Placement), f"{waiting.env_id} waits, and {found} is free"


def queue_of(cluster: Cluster) -> dict[str, Place]:
    """Return the creates that wait for a slot."""
    return {w.env_id: Place(w, (w.failures, len(w.excluded), w.not_before)) for w in cluster.creates.queue()}


def check_order(cluster: Cluster, before: Before) -> None:
    """Nobody of a class was served before one who came earlier and could have been.

    Args:
        cluster: After a step.
        before: What was before it.
    """
    after = queue_of(cluster)
    passed_over = [
        other
        for env_id, other in after.items()
        if before.queue.get(env_id) == other and other.waiting.not_before <= before.at
    ]
    for env_id, mine in before.queue.items():
        served = mine.waiting.placement
        if env_id in after or served is None:
            continue
        for other in passed_over:
            could = served.worker_id not in other.waiting.excluded
            assert not (could and mine.is_behind(other)), f"{env_id} overtook {other.waiting.env_id}"


def check_quiet(cluster: Cluster) -> None:
    """Once every worker has spoken and every create is answered, master and workers agree on what there is."""
    assert not cluster.asks, "a create never ended"
    assert cluster.creates.queue() == []
    for process in cluster.alive:
        assert cluster.status_of(process) in (WorkerStatus.HEALTHY, WorkerStatus.DRAINING)
        assert process.opening == {}
        routed = {route.env_id for route in cluster.routes.of_worker(process.worker_id)}
        assert routed == process.held, f"{process.worker_id} holds {process.held}, routed are {routed}"
    owners = [env_id for process in cluster.alive for env_id in process.held]
    assert len(owners) == len(set(owners)), "an environment has two owners"
    assert len(list(cluster.routes.all())) == len(owners)


def check_troubles(cluster: Cluster) -> None:
    """Nothing failed unseen."""
    assert cluster.loop.troubles == []
