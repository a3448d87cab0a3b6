"""Checking whole corpora of env folders, over all of the machine's cores."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gym_queue.errors import GymQueueError, RequestInvalid, SpecInvalid, SpecNotFound
from gym_queue.specs.files import SUFFIXES, find_file, read_mapping
from gym_queue.specs.modules import Modules
from gym_queue.specs.problems import Kind, Problem, Subject
from gym_queue.specs.validate import EnvCheck, repeated

CHUNK_TASKS = 64
"""Tasks that a process is given at once: a tenth of a second's work, so that none is left with a large rest."""
ALONE_TASKS = 1000
"""Up to so many tasks, starting processes costs more time than they save."""
SPLITS = "splits"
"""Folder of a corpus with files that name an ``env_folder`` and lists of its tasks."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was found below a folder."""

    env_dirs: tuple[Path, ...]
    """Env folders, sorted."""
    split_files: tuple[Path, ...] = ()
    """Files in folders named ``splits``, sorted."""
    problems: tuple[Problem, ...] = ()
    """Folders that could not be read."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check."""

    envs: int
    """Env folders that were checked."""
    tasks: int
    """Tasks that were checked."""
    problems: tuple[Problem, ...]
    """What is wrong, by environment and task; warnings last."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the work: an environment, or some of its tasks."""

    env_dir: Path
    """The env folder."""
    names: tuple[str, ...]
    """Folders in its ``tasks``; those without a task file are passed over."""
    first: bool
    """Whether the environment's own files are to be checked too."""


@dataclass(slots=True)
class Checked:
    """What one chunk's check found."""

    tasks: int = 0
    problems: list[Problem] = field(default_factory=list)
    env_id: tuple[str, Subject] | None = None
    task_ids: list[tuple[str, Subject]] = field(default_factory=list)


def find_corpus(root: Path) -> Corpus:
    """Find the env folders below a folder, which may be one itself; hidden folders and links are not entered.

    Raises:
        RequestInvalid: It is no folder, or holds none.
    """
    if not root.is_dir():
        raise RequestInvalid(f"{root} is not a folder: name the one that the corpus lies in")
    env_dirs: list[Path] = []
    split_files: list[Path] = []
    problems: list[Problem] = []

    def refused(error: OSError) -> None:
        path = Path(error.filename)
        problems.append(Subject(path).problem(Kind.UNREADABLE, error.strerror or str(error)))

    for folder, below, files in os.walk(root.absolute(), onerror=refused):
        if any(f"env{suffix}" in files for suffix in SUFFIXES):
            env_dirs.append(Path(folder))
            below.clear()
        elif Path(folder).name == SPLITS:
            split_files += [Path(folder, name) for name in files if name.endswith(SUFFIXES)]
        below[:] = sorted(name for name in below if not name.startswith("."))
    if not env_dirs:
        raise RequestInvalid(
            f"no folder below {root} holds an env.json, env.yaml or env.yml: it is no corpus"
        )
    return Corpus(tuple(sorted(env_dirs)), tuple(sorted(split_files)), tuple(problems))


def validate_corpus(
    corpus: Corpus, *, jobs: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Report:
    """Check env folders and all their tasks. Nothing of them is run or imported.

    Args:
        corpus: What find_corpus found.
        jobs: Processes to use; None is one for each core. A small corpus is checked in this process.
        progress: Called with the number of tasks done, and of all.

    Raises:
        GymQueueError: A process died.
    """
    folders = {env_dir: _folders(env_dir / "tasks") for env_dir in corpus.env_dirs}
    chunks = [chunk for env_dir, names in folders.items() for chunk in _chunks(env_dir, names)]
    total = sum(map(len, folders.values()))
    jobs = _cores() if jobs is None else jobs
    run = _in_turn if jobs == 1 or total <= ALONE_TASKS else _over_processes(jobs)
    found: dict[Chunk, Checked] = {}
    done = 0
    for chunk, checked in run(chunks):
        found[chunk] = checked
        done += len(chunk.names)
        if progress is not None:
            progress(done, total)
    return _report(corpus, [found[chunk] for chunk in chunks], folders)


def _report(corpus: Corpus, checked: list[Checked], folders: dict[Path, list[str]]) -> Report:
    problems = [*corpus.problems]
    ids: dict[str, list[tuple[str, Subject]]] = {}
    for each in checked:
        problems += each.problems
        for id_, subject in each.task_ids:
            ids.setdefault(str(subject.path.parent.parent), []).append((id_, subject))
    problems += repeated(each.env_id for each in checked if each.env_id)
    for pairs in ids.values():
        problems += repeated(pairs)
    problems += _splits_problems(corpus, folders)
    problems.sort(key=lambda problem: (problem.is_warning, problem.env, problem.task, problem.path))
    return Report(len(corpus.env_dirs), sum(each.tasks for each in checked), tuple(problems))


def _folders(tasks: Path) -> list[str]:
    try:
        with os.scandir(tasks) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:  # there is none
        return []


def _chunks(env_dir: Path, names: Sequence[str]) -> Iterator[Chunk]:
    for start in range(0, len(names) or 1, CHUNK_TASKS):
        yield Chunk(env_dir, tuple(names[start : start + CHUNK_TASKS]), start == 0)


def _check(chunk: Chunk, modules: Modules) -> Checked:
    check = EnvCheck(chunk.env_dir, modules)
    checked = Checked()
    if chunk.first:
        checked.problems = check.env_problems()
        checked.env_id = (check.env.id, check.subject) if check.env else None
    for name in chunk.names:
        subject = check.task_subject(name)
        if subject is None:
            continue
        problems, task = check.task_problems(subject)
        checked.tasks += 1
        checked.problems += problems
        checked.task_ids += [(task.id, subject)] if task else []
    return checked


def _in_turn(chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, Checked]]:
    modules = Modules()
    for chunk in chunks:
        yield chunk, _check(chunk, modules)


def _over_processes(jobs: int) -> Callable[[Iterable[Chunk]], Iterator[tuple[Chunk, Checked]]]:
    def run(chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, Checked]]:
        context = multiprocessing.get_context("spawn")  # a fork would copy the caller's locks and threads
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare) as pool:
            futures = {pool.submit(_check_apart, chunk): chunk for chunk in chunks}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BrokenProcessPool as error:
                raise GymQueueError(
                    "a process that checked env folders died, perhaps for lack of memory: give --jobs 1"
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)

    return run


def _prepare() -> None:
    gc.disable()  # specs and syntax trees hold no cycles, and collections over them cost a fifth of the time


def _check_apart(chunk: Chunk) -> Checked:
    return _check(chunk, Modules())


def _cores() -> int:
    affinity: Callable[[int], Any] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _splits_problems(corpus: Corpus, folders: dict[Path, list[str]]) -> Iterator[Problem]:
    by_name = {env_dir.name: env_dir for env_dir in folders}
    for path in corpus.split_files:
        subject = Subject(path)
        try:
            content = read_mapping(path)
        except (SpecInvalid, SpecNotFound) as error:
            yield subject.from_error(error)
            continue
        name = Path(str(content.get("env_folder", ""))).name
        if not name:
            continue  # of another kind
        if name not in by_name:
            yield subject.problem(Kind.SPLIT, f"env_folder: there is no environment {name!r} here")
            continue
        known = frozenset(folders[by_name[name]])
        for key, members in content.items():
            for task in map(str, members) if isinstance(members, list) else ():
                if task not in known or not find_file(by_name[name] / "tasks" / task, "task"):
                    yield subject.problem(Kind.SPLIT, f"{key}: {name} has no task {task!r}")
