"""Splits of an environment's tasks: its own, else those that its corpus keeps for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gym_queue.errors import SpecNotFound
from gym_queue.specs.corpus import SPLITS
from gym_queue.specs.files import SUFFIXES, read_mapping
from gym_queue.specs.loader import load_splits

ENV_FOLDER = "env_folder"
"""Key of a corpus' split file: the environment that it is of, as a path from the corpus' root."""
ENDING = "_tasks"
"""Of the keys that hold its lists: ``train_tasks`` is the split ``train``."""


class SplitFinder:
    """Finds splits; reads the split files of a corpus once."""

    def __init__(self) -> None:
        self._by_folder: dict[Path, dict[str, dict[str, list[str]]]] = {}

    def find(self, env_dir: Path, split: str) -> list[str]:
        """Return the task ids of a split, in its order.

        Args:
            env_dir: The env folder.
            split: In the env folder's own splits file; else in a file of ``splits`` beside the env folder or beside the
                folder that it lies in, which says by ``env_folder`` that it is of this environment. ``all`` is every task.

        Raises:
            SpecNotFound: There is no such split, or env folder.
            SpecInvalid: A splits file cannot be read.
        """
        splits = load_splits(env_dir)
        if split not in splits:
            splits = {**self._of_corpus(env_dir), **splits}
        if split not in splits:
            raise SpecNotFound(f"{env_dir} has no split {split!r}; its splits are {', '.join(splits)}")
        return splits[split]

    def _of_corpus(self, env_dir: Path) -> dict[str, list[str]]:
        for folder in (env_dir.parent / SPLITS, env_dir.parent.parent / SPLITS):
            if folder not in self._by_folder:
                self._by_folder[folder] = _read(folder)
            if env_dir.name in self._by_folder[folder]:
                return self._by_folder[folder][env_dir.name]
        return {}


def _read(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Return the splits in a folder's files, by the name of the env folder."""
    found: dict[str, dict[str, list[str]]] = {}
    if not folder.is_dir():
        return found
    for path in sorted(each for each in folder.iterdir() if each.suffix in SUFFIXES):
        content = read_mapping(path)
        name = Path(str(content.get(ENV_FOLDER, ""))).name
        if name:
            found.setdefault(name, {}).update(_lists(content))
    return found


def _lists(content: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        str(key).removesuffix(ENDING): list(map(str, members))
        for key, members in content.items()
        if isinstance(members, list)
    }
