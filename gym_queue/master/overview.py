"""The fleet and its environments, as people and monitors read them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from gym_queue.master.creates import Creates
from gym_queue.master.fleet import Fleet
from gym_queue.master.routes import CLOSED, Routes, RouteState
from gym_queue.master.waiting import Waiting
from gym_queue.protocol.fleet import WorkerEntry, WorkerStatus


def count_workers(entries: Sequence[WorkerEntry]) -> dict[str, int]:
    """Return how many workers and environments there are."""
    by_status = [entry.status for entry in entries]
    usable = [entry for entry in entries if entry.status is WorkerStatus.HEALTHY]
    return {
        "total_workers": len(entries),
        **{f"{status}_workers": by_status.count(status) for status in WorkerStatus},
        "total_envs": sum(entry.env_count for entry in entries),
        "total_capacity": sum(entry.max_envs for entry in usable),
    }


def cluster(fleet: Fleet, routes: Routes, *, queue_length: int, endpoint_stats: Any) -> dict[str, Any]:
    """Return what ``/workers/list`` shows."""
    entries = fleet.entries()
    requests = sum(entry.total_requests for entry in entries)
    errors = sum(entry.error_count for entry in entries)
    ready = [route for route in routes.all() if route.state is RouteState.READY]
    return {
        **count_workers(entries),
        "workers": [entry.model_dump(mode="json") for entry in entries],
        "hostname_stats": _by_host(entries),
        "env_mappings": {route.env_id: route.worker_id for route in ready},
        "queue_length": queue_length,
        "aggregated": {
            "total_requests": requests,
            "total_errors": errors,
            "error_rate": errors / requests if requests else 0.0,
            "total_envs_created": routes.created_count,
            "total_envs_closed": routes.closed_count,
            "endpoint_stats": endpoint_stats,
            "activity_log": [],
            "active_envs": {},
            "timeline": [],
        },
    }


def list_envs(
    fleet: Fleet, routes: Routes, *, is_shown: Callable[[str], bool] = lambda _env_id: True
) -> dict[str, Any]:
    """Return what ``/envs/list`` shows, of the environments that may be shown."""
    status = {entry.worker_id: entry.status for entry in fleet.entries()}
    found = {
        route.env_id: {
            "worker_id": route.worker_id,
            "worker_url": route.worker_url,
            "worker_status": status.get(route.worker_id),
        }
        for route in routes.all()
        if route.state is RouteState.READY and is_shown(route.env_id)
    }
    return {"environments": found, "total": len(found)}


def show_env(
    creates: Creates, routes: Routes, env_id: str, *, is_closing: bool = False
) -> dict[str, Any] | None:
    """Return where one environment is in its life; None when it never was, or ended long ago.

    Args:
        creates: The creates that are not answered.
        routes: Where environments are.
        env_id: The environment.
        is_closing: Whether a client's close of it is at its worker.
    """
    waiting = creates.find(env_id)
    if waiting is not None and waiting.placement is None:
        return {"env_id": env_id, "state": "queued", **describe(waiting, position_of(creates, env_id))}
    route = routes.find(env_id)
    if route is not None:
        return {
            "env_id": env_id,
            "state": "closing" if is_closing else str(route.state),
            **({} if waiting is None else {"clients": waiting.callers}),
            "worker_id": route.worker_id,
            "worker_url": route.worker_url,
            "age_s": round(time.monotonic() - route.since, 3),
        }
    ended = routes.ending(env_id)
    if ended is None:
        return None
    how = "closing" if creates.is_undoing(env_id) else "closed" if ended.why == CLOSED else "lost"
    return {
        "env_id": env_id,
        "state": how,
        "reason": ended.why,
        "worker_id": ended.worker_id,
        "age_s": round(max(time.time() - ended.at, 0.0), 3),
    }


def position_of(creates: Creates, env_id: str) -> int:
    """Return how many creates wait before this one, which waits too."""
    return [create.env_id for create in creates.queue()].index(env_id)


def describe(create: Waiting, position: int) -> dict[str, Any]:
    """Return a create that waits, as ``/queue`` shows it."""
    return {
        "env_id": create.env_id,
        "position": position,
        "priority": create.request.priority,
        "capability": create.need.capability,
        "metadata": create.request.metadata,
        "waiting_s": round(time.monotonic() - create.since, 3),
        "waiting_since": round(time.time() - (time.monotonic() - create.since), 3),
        "why_not": create.why_not,
        "clients": create.callers,
    }


def _by_host(entries: Sequence[WorkerEntry]) -> list[dict[str, Any]]:
    hosts: dict[str, dict[str, Any]] = {}
    for entry in entries:
        host = hosts.setdefault(
            entry.hostname, {"hostname": entry.hostname, "workers": 0, "envs": 0, "capacity": 0}
        )
        host["workers"] += 1
        host["envs"] += entry.env_count
        host["capacity"] += entry.max_envs
    return list(hosts.values())
