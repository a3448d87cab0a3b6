"""What a corpus' check says of each task, as files that other programs read: Gym-Anything's three manifests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gym_queue.errors import RequestInvalid
from gym_queue.specs.corpus import Corpus, Report
from gym_queue.specs.files import find_file
from gym_queue.specs.loader import list_tasks
from gym_queue.specs.problems import Kind, Problem

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class CheckedTask:
    """One task, and what is wrong with it."""

    env: str
    task_id: str
    path: Path
    """Its file."""
    problems: tuple[Problem, ...]
    """Its own, warnings apart."""

    @property
    def ref(self) -> str:
        """``<env>/<task>``."""
        return f"{self.env}/{self.task_id}"


def checked_tasks(corpus: Corpus, report: Report) -> list[CheckedTask]:
    """Return every task of a corpus with its problems; an environment that is broken breaks all of its tasks."""
    by_task: dict[tuple[str, str], list[Problem]] = {}
    for problem in report.problems:
        if not problem.is_warning:
            by_task.setdefault((problem.env, problem.task), []).append(problem)
    return [
        CheckedTask(
            env_dir.name,
            task_id,
            find_file(env_dir / "tasks" / task_id, "task") or env_dir,
            (*by_task.get((env_dir.name, task_id), ()), *by_task.get((env_dir.name, ""), ())),
        )
        for env_dir in corpus.env_dirs
        for task_id in list_tasks(env_dir)
    ]


def status_manifest(tasks: Iterable[CheckedTask], root: Path) -> dict[str, Any]:
    """Return which tasks are sound and which are not, and why."""
    tasks = list(tasks)
    verified = [_entry(task, root) for task in tasks if not task.problems]
    failed = [_entry(task, root) for task in tasks if task.problems]
    return {
        **_head(root),
        "total_task_records": len(tasks),
        "verified_task_count": len(verified),
        "failed_task_count": len(failed),
        "issue_counts": dict(Counter(problem.kind for task in tasks for problem in task.problems)),
        "verified_tasks": verified,
        "failed_tasks": failed,
    }


def verified_split(tasks: Iterable[CheckedTask], root: Path) -> dict[str, Any]:
    """Return the sound tasks, by environment."""
    sound = [task for task in tasks if not task.problems]
    by_env: dict[str, list[str]] = {}
    for task in sound:
        by_env.setdefault(task.env, []).append(task.task_id)
    refs = sorted(task.ref for task in sound)
    return {**_head(root), "task_count": len(refs), "tasks": refs, "by_environment": by_env}


def missing_hook_manifest(tasks: Iterable[CheckedTask], root: Path) -> dict[str, Any]:
    """Return the tasks whose hooks name scripts that do not exist."""
    found = [
        (task, [problem.message for problem in task.problems if problem.kind is Kind.HOOK]) for task in tasks
    ]
    entries = [
        {**_place(task, root), "missing_hook_assets": messages} for task, messages in found if messages
    ]
    return {**_head(root), "task_count": len(entries), "tasks": entries}


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write one as JSON; missing folders are made.

    Raises:
        RequestInvalid: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(manifest, indent=2) + "\n")
    except OSError as error:
        raise RequestInvalid(f"{path} cannot be written: {error.strerror or error}") from error


def _head(root: Path) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {"schema_version": SCHEMA_VERSION, "generated_at": now, "root": str(root)}


def _place(task: CheckedTask, root: Path) -> dict[str, Any]:
    base = root.absolute()
    path = task.path.relative_to(base) if task.path.is_relative_to(base) else task.path
    return {
        "environment": task.env,
        "task_id": task.task_id,
        "task_ref": task.ref,
        "task_spec_path": str(path),
    }


def _entry(task: CheckedTask, root: Path) -> dict[str, Any]:
    entry = {**_place(task, root), "status": "failed" if task.problems else "verified"}
    if task.problems:
        entry["issues"] = [{"code": each.kind, "message": each.message} for each in task.problems]
    return entry
