"""Why a container is gone, and what one uses."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import NotFound
from docker.models.containers import Container

from gym_queue.errors import RunnerFailed, RunnerUnavailable
from gym_queue.runners.docker.client import Daemon, translated

LOG_LINES = 20
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """What a container uses at one moment."""

    cpu_s: float
    """Processor time since its start."""
    memory_bytes: int
    """Without the page cache, which the kernel takes back when it needs to."""
    memory_limit_bytes: int
    """The host's memory where the container has no limit."""
    processes: int
    """Processes and threads."""


def read_stats(daemon: Daemon, container: Container) -> ContainerStats:
    """Ask the daemon for one reading.

    Raises:
        RunnerFailed: The container is gone.
    """
    with translated("the container's statistics cannot be read"):
        raw: dict[str, Any] = daemon.sdk.api.stats(str(container.id), stream=False, one_shot=True)
    memory = raw.get("memory_stats") or {}
    detail = memory.get("stats") or {}
    cache = detail.get(
        "total_inactive_file", detail.get("inactive_file", 0)
    )  # cgroup v1, v2: as docker stats
    return ContainerStats(
        cpu_s=raw["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
        memory_bytes=max(0, memory.get("usage", 0) - cache),
        memory_limit_bytes=memory.get("limit", 0),
        processes=(raw.get("pids_stats") or {}).get("current", 0),
    )


def explain_end(daemon: Daemon, container: Container) -> RunnerFailed | None:
    """Return why a container does not run any more; None while it does, or when the daemon cannot say.

    Args:
        daemon: Where it is.
        container: It.
    """
    try:
        with translated("the container cannot be looked at"):
            container.reload()
    except RunnerUnavailable:
        return None
    except RunnerFailed as error:
        if isinstance(error.__cause__, NotFound):
            return RunnerFailed(f"the container {container.name} was removed by somebody else: reset")
        return None
    state = container.attrs.get("State") or {}
    if state.get("Running"):
        return None
    memory = (container.attrs.get("HostConfig") or {}).get("Memory") or 0
    if state.get("OOMKilled") or ran_out_of_memory(daemon, container):
        return RunnerFailed(
            f"the container {container.name} was killed: it ran out of its memory ({memory / 2**30:g} GiB); raise resources.mem_gb"
        )
    said = container.logs(tail=LOG_LINES).decode(errors="replace").strip()
    why = state.get("Error") or (f"it said: {said}" if said else "it said nothing")
    return RunnerFailed(
        f"the container {container.name} has ended with status {state.get('ExitCode')}: {why}"
    )


def ran_out_of_memory(daemon: Daemon, container: Container) -> bool:
    """Whether the kernel killed something in the container for want of memory; False when nobody can say.

    A container that runs is asked for the kernel's own count; of one that has ended only the daemon's events are
    left, of which it keeps the last 256 of all containers.
    """
    count = _count_kills(int((container.attrs.get("State") or {}).get("Pid") or 0))
    return count > 0 if count is not None else _tells_of_oom(daemon, container)


def _count_kills(pid: int) -> int | None:
    """Return how often the kernel killed in the memory cgroup of a process (cgroups(7)); None when it cannot be read."""
    try:
        lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
        v1 = next((path for _, kinds, path in lines if "memory" in kinds.split(",")), None)
        v2 = next((path for _, kinds, path in lines if not kinds), "/")
        file = CGROUPS / f"memory{v1}/memory.oom_control" if v1 else CGROUPS / f"{v2[1:]}/memory.events"
        fields = dict(line.split() for line in file.read_text().splitlines())
        return int(fields["oom_kill"])
    except (OSError, KeyError, ValueError):
        return None


def _tells_of_oom(daemon: Daemon, container: Container) -> bool:
    filters = {"container": container.id, "event": "oom"}
    until: Any = f"{time.time():.6f}"  # whole seconds, as the SDK's type has it, would leave out the last one
    try:
        with translated("the container's events cannot be read"):
            found = list(daemon.sdk.events(since=0, until=until, filters=filters))
    except (RunnerFailed, RunnerUnavailable):
        return False
    return bool(found)
