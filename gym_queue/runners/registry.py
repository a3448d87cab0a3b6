"""Opens runners by name; a runner's modules are imported when it is first asked for."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import get_args, get_type_hints

from gym_queue.errors import RequestInvalid, RunnerUnavailable
from gym_queue.names import RUNNERS
from gym_queue.runners.base import CheckpointStorage, Runner, RunnerSetup

logger = logging.getLogger(__name__)

_IMPLEMENTED: Mapping[str, tuple[str, str]] = {
    "local": ("gym_queue.runners.local.runner", "open_local"),
    "docker": ("gym_queue.runners.docker.runner", "DockerRunner"),
    "qemu": ("gym_queue.runners.qemu.runner", "QemuRunner"),
    "qemu_native": ("gym_queue.runners.qemu.runner", "QemuNativeRunner"),
    "fake": ("gym_queue.runners.fake", "FakeRunner"),
}
"""Runner name → module and class, called with a RunnerSetup."""
_LEAVES_BEHIND: Mapping[str, str] = {
    "docker": "gym_queue.runners.docker.cleanup",
    "qemu": "gym_queue.runners.qemu.cleanup",
    "qemu_native": "gym_queue.runners.qemu.cleanup",
}
"""Runner name → module whose ``remove_orphans`` clears away what outlived its environment's process."""
_STORAGES: Mapping[str, tuple[str, str]] = {
    "local": ("gym_queue.runners.homecheckpoints", "HomeCheckpoints"),
    "docker": ("gym_queue.runners.docker.checkpoints", "DockerCheckpoints"),
    "qemu": ("gym_queue.runners.qemu.checkpoints", "QemuCheckpoints"),
    "qemu_native": ("gym_queue.runners.qemu.checkpoints", "QemuCheckpoints"),
    "fake": ("gym_queue.runners.homecheckpoints", "HomeCheckpoints"),
}
"""Runner name → module and class of where it keeps checkpoints, called with a folder of its own."""


def implemented_runners() -> tuple[str, ...]:
    """Return the names of the runners that this version has."""
    return tuple(_IMPLEMENTED)


def preload(names: Iterable[str]) -> None:
    """Import the modules of runners, so that what is forked from here has them.

    Args:
        names: Runners of this version; others are passed over.
    """
    for name in names:
        if name in _IMPLEMENTED:
            try:
                importlib.import_module(_IMPLEMENTED[name][0])
            except ImportError as error:  # whoever opens one is told what to install
                logger.warning("the %s runner cannot be imported: %s", name, error)


def open_runner(name: str, setup: RunnerSetup) -> Runner:
    """Return a runner that is not started yet.

    Args:
        name: A runner's name, as specs write it.
        setup: What to start.

    Raises:
        RequestInvalid: No runner has this name.
        RunnerUnavailable: This version, or this machine, cannot run it.
        NotSupported: The runner cannot do what the spec asks.
    """
    if name not in RUNNERS:
        raise RequestInvalid(f"there is no runner {name!r}; known are {', '.join(RUNNERS)}")
    if name not in _IMPLEMENTED:
        raise RunnerUnavailable(
            f"this version has no {name} runner yet; it has {', '.join(implemented_runners())}"
        )
    module, kind = _IMPLEMENTED[name]
    make: Callable[[RunnerSetup], Runner] = getattr(_load(name, module), kind)
    return make(setup)


def runner_kinds(name: str) -> tuple[type, ...]:
    """Return the classes that ``open_runner`` makes runners of, by what its function says it returns.

    Args:
        name: A runner's name; none for one that this version has not.

    Raises:
        RunnerUnavailable: A package that it needs is not installed.
    """
    if name not in _IMPLEMENTED:
        return ()
    module, kind = _IMPLEMENTED[name]
    made = getattr(_load(name, module), kind)
    if isinstance(made, type):
        return (made,)
    returned = get_type_hints(made)["return"]
    return tuple(get_args(returned)) or (returned,)


def keeps_machines(name: str) -> bool:
    """Return whether a runner's checkpoints may hold machines that run.

    Args:
        name: A runner's name; one that this version has not keeps none.

    Raises:
        RunnerUnavailable: A package that it needs is not installed.
    """
    kinds = runner_kinds(name)
    return bool(kinds) and all(kind.TRAITS.keeps_machines for kind in kinds)  # type: ignore[attr-defined]  # all have them


def remove_orphans(names: Iterable[str]) -> None:
    """Remove what environments of this machine left outside their folders whose process has gone.

    Args:
        names: Runners whose leftovers to look for; those that leave none are passed over.
    """
    for name in names:
        if name in _LEAVES_BEHIND:
            try:
                _load(name, _LEAVES_BEHIND[name]).remove_orphans()
            except RunnerUnavailable as error:
                logger.warning("what earlier environments left is not looked for: %s", error)


def _load(name: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RunnerUnavailable(
            f"the {name} runner needs a package that is not installed ({error}): pip install 'gym-queue[{name}]'"
        ) from error


def open_storage(name: str, folder: Path) -> CheckpointStorage | None:
    """Return where a runner keeps its checkpoints; None for one that keeps none.

    Args:
        name: A runner's name.
        folder: For those that are files; it need not exist.
    """
    if name not in _STORAGES:
        return None
    module, kind = _STORAGES[name]
    make: Callable[[Path], CheckpointStorage] = getattr(_load(name, module), kind)
    return make(folder)
