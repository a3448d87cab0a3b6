"""Checking an env folder and its tasks. Nothing of it is run or imported.

What cannot be judged from outside is passed over, such as commands of the sandbox's image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from gym_queue.errors import SpecInvalid, SpecNotFound
from gym_queue.specs.env import EnvSpec, Mount
from gym_queue.specs.files import find_file, read_mapping
from gym_queue.specs.loader import load_env, load_splits, parse_task, resolve_mount
from gym_queue.specs.modules import Modules, found_in, lies_in
from gym_queue.specs.problems import Kind, Problem, Subject
from gym_queue.specs.pythonfile import Import, PythonFile
from gym_queue.specs.scripts import Scripts
from gym_queue.specs.task import TaskSpec

PROGRAM = "success.spec.program"
"""Where a task names its verifier."""


def repeated(ids: Iterable[tuple[str, Subject]]) -> list[Problem]:
    """Return a problem for each id that an earlier subject has already."""
    first: dict[str, Subject] = {}
    problems = []
    for id_, subject in ids:
        earlier = first.setdefault(id_, subject)
        if earlier is not subject:
            problems.append(subject.problem(Kind.ID, f"id: {id_!r} is also that of {earlier.path}"))
    return problems


class EnvCheck:
    """The checks of one env folder; what its tasks have in common is read once."""

    def __init__(self, env_dir: Path, modules: Modules) -> None:
        self.env_dir = env_dir
        self.env: EnvSpec | None = None
        """The environment; None when its file is broken: what needs it is then passed over."""
        self.subject = Subject(find_file(env_dir, "env") or env_dir, env_dir.name)
        """What problems of its env file are reported as."""
        self._modules = modules
        self._problems: list[Problem] = []
        self._scripts = Scripts(())
        try:
            self.env = load_env(env_dir)
        except (SpecInvalid, SpecNotFound) as error:
            self._problems.append(self.subject.from_error(error))
        else:
            self._scripts = Scripts.of(self._mounts(self.env))

    def env_problems(self) -> list[Problem]:
        """Return what is wrong with the environment's own files, its splits among them."""
        hooks = [] if self.env is None else list(self._env_hook_faults(self.env))
        problems = self._problems + [self.subject.problem(Kind.HOOK, message) for message in hooks]
        return problems + self._splits_problems()

    def task_subject(self, name: str) -> Subject | None:
        """Return what problems of a task's file are reported as; None for a folder without one."""
        path = find_file(self.env_dir / "tasks" / name, "task")
        return Subject(path, self.env_dir.name, name) if path else None

    def task_problems(self, subject: Subject) -> tuple[list[Problem], TaskSpec | None]:
        """Check one task.

        Args:
            subject: Its file, as task_subject gave it.

        Returns:
            What is wrong with it, and the task itself; None when its file is broken.
        """
        try:
            task = parse_task(read_mapping(subject.path), where=str(subject.path))
        except (SpecInvalid, SpecNotFound) as error:
            return [subject.from_error(error)], None
        folder = subject.path.parent
        problems = [subject.problem(Kind.ID, message) for message in self._id_faults(task, folder.name)]
        problems += [subject.problem(Kind.HOOK, message) for message in self._hook_faults(task, folder)]
        problems += self._verifier_problems(subject, task, folder)
        return problems, task

    def _mounts(self, env: EnvSpec) -> Iterator[tuple[Mount, Path]]:
        """Yield the mounts whose source exists, and note the others."""
        for index, mount in enumerate(env.mounts):
            try:
                yield mount, resolve_mount(self.env_dir, mount.source)
            except SpecNotFound as error:
                self._problems.append(self.subject.problem(Kind.MOUNT, f"mounts.{index}: {error}"))

    def _env_hook_faults(self, env: EnvSpec) -> Iterator[str]:
        reset = (env.reset_script,) if env.reset_script else ()
        commands = {
            "hooks.pre_start": env.hooks.pre_start,
            "hooks.post_start": env.hooks.post_start,
            "hooks.reset": env.hooks.reset,
            "reset_script": reset,
        }
        for key, value in commands.items():
            yield from self._scripts.missing(key, value, (self.env_dir,))

    def _hook_faults(self, task: TaskSpec, folder: Path) -> Iterator[str]:
        if self.env is None:
            return
        roots = (folder, self.env_dir)
        script = (task.init.init_script,) if task.init.init_script else ()
        yield from self._scripts.missing("hooks.pre_task", task.hooks.pre_task, roots)
        yield from self._scripts.missing("hooks.post_task", task.hooks.post_task, roots)
        yield from self._scripts.missing("init.init_script", script, roots)

    def _id_faults(self, task: TaskSpec, name: str) -> Iterator[str]:
        if _unversioned(task.id) != _unversioned(name):
            yield f"id: {task.id!r} is not the folder's name, {name!r}, by which the task is found"
        if self.env is None or task.env_id is None:
            return
        if _unversioned(task.env_id) != _unversioned(self.env.id):
            yield f"env_id: {task.env_id!r} is not this environment, {self.env.id!r}"

    def _verifier_problems(self, subject: Subject, task: TaskSpec, folder: Path) -> list[Problem]:
        success = task.success
        if success is None or success.mode not in ("program", "multi"):
            return []
        program = success.spec.get("program")
        if program is None and success.mode == "multi":
            return []
        if not isinstance(program, str) or ":" not in program:
            form = "'file.py::function' or 'package.module:function'"
            return [subject.problem(Kind.VERIFIER, f"{PROGRAM}: {_short(program)} is not {form}")]
        place, _, function = program.partition("::" if "::" in program else ":")
        if place.endswith(".py"):
            return self._file_problems(subject, folder / place, function)
        if self._has(place, folder):
            return []
        return [subject.problem(Kind.IMPORT, f"{PROGRAM}: imports {place}, which this machine lacks")]

    def _file_problems(self, subject: Subject, path: Path, function: str) -> list[Problem]:
        try:
            file = PythonFile(path)
            lacking = self._missing(file, path.parent)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            reason = "does not exist" if gone else f"cannot be read: {error.strerror}"
            return [subject.problem(Kind.VERIFIER, f"{PROGRAM}: {path} {reason}")]
        except SyntaxError as error:
            line, column = (error.lineno, error.offset) if error.lineno else (None, None)
            reason = f"is not Python: {error.msg}"
            return [subject.problem(Kind.VERIFIER, reason, path=path, line=line, column=column)]
        except (ValueError, RecursionError, MemoryError) as error:
            reason = str(error) or "nested too deeply"
            return [subject.problem(Kind.VERIFIER, f"is not Python: {reason}", path=path)]
        problems = []
        if not file.may_define(function):
            problems.append(subject.problem(Kind.VERIFIER, f"does not define {function}", path=path))
        return problems + [_lacking(subject, path, each) for each in lacking]

    def _missing(self, file: PythonFile, folder: Path) -> list[Import]:
        widely = file.touches_path()
        return file.missing_imports(lambda name: self._has(name, folder, widely=widely))

    def _has(self, name: str, folder: Path, *, widely: bool = False) -> bool:
        if name.startswith("."):
            return False  # a verifier's file is no part of a package
        top = name.partition(".")[0]
        if self._modules.has(name) or top in self._own_modules or lies_in(top, folder):
            return True
        return widely and (top in self._near_modules or top in found_in(_folders_in(folder)))

    @cached_property
    def _own_modules(self) -> frozenset[str]:
        return found_in((self.env_dir,))

    @cached_property
    def _near_modules(self) -> frozenset[str]:
        """Where a file that changes ``sys.path`` may look: what it computes is not known without running it."""
        above = (self.env_dir / "tasks", self.env_dir.parent, self.env_dir.parent.parent)
        return found_in((*_folders_in(self.env_dir), *above))

    def _splits_problems(self) -> list[Problem]:
        path = find_file(self.env_dir, "splits")
        if path is None:
            return []
        subject = Subject(path, self.env_dir.name)
        try:
            splits = load_splits(self.env_dir)
        except (SpecInvalid, SpecNotFound) as error:
            return [subject.from_error(error)]
        known = frozenset(splits["all"])
        return [
            subject.problem(Kind.SPLIT, f"{name}: there is no task {task!r}")
            for name, members in splits.items()
            for task in members
            if task not in known
        ]


def _lacking(subject: Subject, path: Path, lacking: Import) -> Problem:
    if lacking.module.startswith("."):
        message = f"imports {lacking.module}, and a verifier's file is no part of a package"
        return subject.problem(Kind.VERIFIER, message, path=path, line=lacking.line, column=lacking.column)
    message = f"imports {lacking.module}, which this machine lacks"
    return subject.problem(Kind.IMPORT, message, path=path, line=lacking.line, column=lacking.column)


def _folders_in(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if each.is_dir()]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}.."


def _unversioned(name: str) -> str:
    return name.split("@", 1)[0]
