"""Opens runners by name; a runner's modules are imported when it is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping

from gym_queue.errors import RequestInvalid, RunnerUnavailable
from gym_queue.names import RUNNERS
from gym_queue.runners.base import Runner, RunnerSetup

_IMPLEMENTED: Mapping[str, tuple[str, str]] = {
    "local": ("gym_queue.runners.local.runner", "LocalRunner"),
    "fake": ("gym_queue.runners.fake", "FakeRunner"),
}
"""Runner name → module and class, called with a RunnerSetup."""


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
            importlib.import_module(_IMPLEMENTED[name][0])


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
    make: Callable[[RunnerSetup], Runner] = getattr(importlib.import_module(module), kind)
    return make(setup)
