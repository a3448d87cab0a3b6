"""The embedded broker's private files."""

from __future__ import annotations

import os
from pathlib import Path

from gym_queue.errors import StartupFailed

TAIL_LINES = 5


def private_folder(state_dir: Path) -> Path:
    """Return the broker's own folder below ``state_dir``, made, and closed to other users.

    Raises:
        StartupFailed: It cannot be made or written.
    """
    folder = state_dir / "broker"
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        write_private(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise StartupFailed(
            f"the embedded broker cannot write to {folder}: {error.strerror}; give another --state-dir"
        ) from error
    return folder.resolve()


def write_private(path: Path, text: str) -> None:
    """Write a file, whole or not at all, that its owner alone can read."""
    staged = path.with_name(f"{path.name}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    staged.replace(path)


def log_tail(path: Path) -> str:
    """Return the last lines of a server's log, in one line."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return " | ".join(line.strip() for line in lines[-TAIL_LINES:] if line.strip()) or "its log is empty"
