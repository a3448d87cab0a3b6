"""Gym Queue under the name that Gym-Anything's users import; steps aside where gym_anything itself is installed."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gym_queue

if TYPE_CHECKING:
    from gym_queue import (
        AsyncRemoteGymEnv,
        GymQueueError,
        LocalGymEnv,
        RemoteGymEnv,
        RemoteVectorEnv,
        __version__,
        from_config,
        make,
    )

__all__ = [
    "AsyncRemoteGymEnv",
    "GymQueueError",
    "LocalGymEnv",
    "RemoteGymEnv",
    "RemoteVectorEnv",
    "__version__",
    "from_config",
    "make",
]


def __getattr__(name: str) -> Any:
    """Hand on a public name of gym_queue."""
    if name in __all__:
        return getattr(gym_queue, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _find_original() -> ModuleSpec | None:
    """Return where another gym_anything is; None when there is none."""
    here = Path(__file__).resolve()
    elsewhere = [entry for entry in sys.path if Path(entry or ".").resolve() != here.parent]
    for finder in sys.meta_path:
        spec = finder.find_spec("gym_anything", elsewhere)
        if (
            spec is not None
            and spec.loader is not None
            and spec.origin
            and spec.submodule_search_locations  # it is a package; a second copy of this module is none
            and Path(spec.origin).resolve() != here
        ):
            return spec
    return None


def _step_aside(spec: ModuleSpec) -> None:
    original = module_from_spec(spec)
    sys.modules["gym_anything"] = original  # what the import statement then hands out
    assert spec.loader is not None  # noqa: S101  _find_original has checked it
    spec.loader.exec_module(original)


if __name__ == "gym_anything":
    _original = _find_original()
    if _original is not None:
        _step_aside(_original)
    else:  # from gym_anything.remote import RemoteGymEnv
        remote = sys.modules["gym_anything.remote"] = sys.modules[__name__]
