"""Judging scripts from outside: do those that hooks name exist, and what does a verifier's file define?"""

from __future__ import annotations

import ast
import shlex
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gym_queue.errors import SpecNotFound
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.loader import resolve_mount

_SUFFIXES = frozenset({".sh", ".bash", ".py", ".ps1", ".bat", ".cmd"})


@dataclass(frozen=True, slots=True)
class Scripts:
    """Where the scripts that hooks name lie on this machine, as far as it can be told."""

    mounted: tuple[tuple[PurePosixPath, Path], ...]
    """Folders inside that nothing writes to, and the host's folders they show; the deepest first."""
    roots: tuple[Path, ...]
    """Folders that a relative script may lie in."""

    @classmethod
    def of(cls, env: EnvSpec, env_dir: Path, roots: tuple[Path, ...]) -> Scripts:
        """Collect the read-only mounts of an environment that exist here."""
        mounted: list[tuple[PurePosixPath, Path]] = []
        for mount in env.mounts:
            try:
                source = resolve_mount(env_dir, mount.source)
            except SpecNotFound:
                continue  # a problem of its own, told once
            if mount.mode == "ro":
                mounted.append((PurePosixPath(mount.target), source))
        mounted.sort(key=lambda pair: len(pair[0].parts), reverse=True)
        return cls(tuple(mounted), roots)

    def missing(self, key: str, commands: Iterable[str]) -> Iterator[str]:
        """Yield a fault for each script that the commands name and that certainly does not exist."""
        for command in commands:
            for script in self._named(command):
                if not self._may_exist(script):
                    yield f"{key}: {script} does not exist"

    def _named(self, command: str) -> Iterator[PurePosixPath]:
        """Yield the script that a command starts with, and every absolute one among its words."""
        if "\\" in command:
            return  # a Windows path, or quoting that only its shell can read
        try:
            words = shlex.split(command)
        except ValueError:
            return
        for index, word in enumerate(words):
            path = PurePosixPath(word)
            if path.suffix in _SUFFIXES and (path.is_absolute() or index == 0):
                yield path

    def _may_exist(self, script: PurePosixPath) -> bool:
        if not script.is_absolute():
            return any((root / script).exists() for root in self.roots)
        for target, source in self.mounted:
            if script.is_relative_to(target):
                return (source / script.relative_to(target)).exists()
        return True


def top_level_names(path: Path) -> frozenset[str]:
    """Return what a Python file defines, imports or assigns at its top, also in an ``if`` or ``try``.

    Args:
        path: The file; it is parsed, never run.

    Returns:
        The names; ``*`` stands for a star import.

    Raises:
        OSError: It cannot be opened.
        SyntaxError, ValueError, RecursionError: It is not Python.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an author's "\d" is for the author's own linter
        tree = ast.parse(path.read_bytes())
    return frozenset(_bound_names(tree.body))


def _bound_names(body: Iterable[ast.AST]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name for alias in aliases)
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.If() | ast.Try() | ast.ExceptHandler() | ast.With():
                yield from _bound_names(ast.iter_child_nodes(node))
