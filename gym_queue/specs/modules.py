"""Which modules could be imported here, told without importing any."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

GIVEN = frozenset({"gym_anything.vlm"})
"""What verifiers find though no file holds it; see gym_queue.verifiers.child."""


class Modules:
    """The modules of this Python; each is looked for once."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def has(self, name: str) -> bool:
        """Whether a dotted name is a module of the standard library or of an installed package."""
        if name not in self._known:
            is_standard = name.partition(".")[0] in sys.stdlib_module_names
            self._known[name] = is_standard or name in GIVEN or _installed(name)
        return self._known[name]


def lies_in(name: str, folder: Path) -> bool:
    """Whether a folder holds the module or package of this name, which has no dots."""
    start = f"{folder}/{name}"
    return os.path.isfile(f"{start}.py") or os.path.isdir(start)  # noqa: PTH112, PTH113  (Path raises on long names)


def found_in(folders: Iterable[Path]) -> frozenset[str]:
    """Return the names of the modules and packages in folders, as ``sys.path`` would give them."""
    return frozenset(name for folder in folders for name in _names_in(folder))


def _names_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [e.name.removesuffix(".py") for e in entries if e.name.endswith(".py") or e.is_dir()]
    except OSError:
        return []


def _installed(name: str) -> bool:
    top, *below = name.split(".")
    try:
        spec = importlib.util.find_spec(top) if top else None  # imports nothing: the name has no dot
    except (ImportError, ValueError):  # a name with a NUL; a module that runs now, as __main__ does
        return False
    for index in range(len(below)):
        if spec is None:
            return False
        found = _submodule(spec, ".".join([top, *below[: index + 1]]))
        if found is None:
            return _may_make(spec, below[index])
        spec = found
    return spec is not None


def _submodule(parent: ModuleSpec, name: str) -> ModuleSpec | None:
    folders = parent.submodule_search_locations
    return PathFinder.find_spec(name, list(folders)) if folders else None


def _may_make(parent: ModuleSpec, name: str) -> bool:
    """Whether a module may put this submodule into ``sys.modules`` by itself, as six does with ``moves``."""
    if not parent.has_location:
        return parent.origin is not None  # built in; a namespace has no origin, and makes nothing
    if not str(parent.origin).endswith(".py"):
        return True
    source = Path(str(parent.origin)).read_text(errors="replace")
    return ("sys.modules" in source or "__path__" in source) and name in source
