"""Files that a verifier of ours reads: the task's own, and the episode's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers.base import VerifierRequest


def task_file(request: VerifierRequest, name: str, *, what: str) -> Path:
    """Return a file that belongs to the task: in its folder, else in its environment's.

    Raises:
        VerifierFailed: It is in neither, or leads out of them.
    """
    return _find(name, [each for each in (request.task_dir, request.env_dir) if each], what, request)


def episode_file(request: VerifierRequest, name: str, *, what: str) -> Path:
    """Return a file of the episode's folder.

    Raises:
        VerifierFailed: It is not there, or leads out of it.
    """
    return _find(name, [request.episode_dir], what, request)


def _find(name: str, folders: Sequence[Path], what: str, request: VerifierRequest) -> Path:
    task = request.task.id
    if not folders:
        raise VerifierFailed(
            f"the {what} {name!r:.200} of task {task} has no folder to lie in: create it by env_dir and task_id"
        )
    try:
        for folder in folders:
            found = (folder / name).resolve()
            if found.is_file() and any(found.is_relative_to(each.resolve()) for each in folders):
                return found
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, a loop of links
        pass
    where = " nor in ".join(str(folder) for folder in folders)
    raise VerifierFailed(f"the {what} {name!r:.200} of task {task} is no file in {where}: put it there")
