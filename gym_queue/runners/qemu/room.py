"""Whether a virtual machine's memory is there, asked before it starts: the kernel would end some process later."""

from __future__ import annotations

from gym_queue.errors import NoCapacity, RunnerUnavailable
from gym_queue.names import QEMU_FAMILY
from gym_queue.runners.memory import HostMemory
from gym_queue.runners.qemu.machine import DEFAULT_MEMORY_GB, GIB
from gym_queue.specs.env import EnvSpec

OVERHEAD_BYTES = 224 << 20
"""What QEMU and the environment's process take beside the guest's own memory; more than half is translated code
where the machine is emulated."""
RETRY_S = 5.0
LACKS_MEMORY = "lacks_memory"
"""In an error's details: the worker has room, but not for what this environment needs."""


def memory_of(runner: str, spec: EnvSpec) -> int:
    """Return what an environment's machine takes of the host's memory, in bytes; 0 for one that is none.

    Args:
        runner: What will run it.
        spec: Its ``resources.mem_gb`` counts.
    """
    if runner not in QEMU_FAMILY:
        return 0
    return int((spec.resources.mem_gb or DEFAULT_MEMORY_GB) * GIB) + OVERHEAD_BYTES


def check_room(env: str, needed: int, memory: HostMemory) -> None:
    """See that a machine's memory is there.

    Args:
        env: The environment's name.
        needed: See ``memory_of``.
        memory: This host's.

    Raises:
        RunnerUnavailable: The host has not that much at all.
        NoCapacity: Others use it now.
    """
    if needed > memory.total:
        raise RunnerUnavailable(
            f"the virtual machine of {env} needs {_gib(needed)} of memory, and this host has {_gib(memory.total)}: "
            "lower resources.mem_gb, or use a larger host"
        )
    if needed > memory.available:
        raise no_room(f"the virtual machine of {env} needs {_gib(needed)} of memory", memory.available)


def no_room(what: str, free: int) -> NoCapacity:
    """Return the error for memory that others use now.

    Args:
        what: What needs how much.
        free: What is left, in bytes.
    """
    return NoCapacity(
        f"{what}, and {_gib(max(0, free))} are free on this host: close environments, or lower resources.mem_gb",
        {"retry_after_s": RETRY_S, LACKS_MEMORY: True},
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
