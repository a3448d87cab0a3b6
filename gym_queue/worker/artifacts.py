"""The files of an episode's folder, listed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gym_queue.env.spool import SPOOL

MAX_FILES = 2000
MAX_ENTRIES = 10_000
"""Files, folders and what is neither that are looked at."""
MAX_DEPTH = 16
FRAME = re.compile(r"frame_[0-9]{5,9}\.png")


def list_files(folder: Path, unwritten: Mapping[str, int] | None) -> tuple[list[dict[str, Any]], bool]:
    """Return an episode's files in order of their paths, and whether there are more; no link is followed.

    Args:
        folder: The episode's.
        unwritten: Its frames that are no files yet, with their sizes in bytes; None lists no frames at all.
    """
    found: dict[str, dict[str, Any]] = {}
    cut = False
    for seen, (path, status) in enumerate(_walk(folder, "", 0)):
        if seen >= MAX_ENTRIES or len(found) >= MAX_FILES:
            cut = True
            break
        if status is not None and path != SPOOL and (unwritten is not None or not FRAME.fullmatch(path)):
            found[path] = _view(path, status.st_size, status.st_mtime)
    for name, size in (unwritten or {}).items():
        if name not in found:
            cut = cut or len(found) >= MAX_FILES
            if not cut:
                found[name] = _view(name, size, None)
    return [found[path] for path in sorted(found)], cut


def _view(path: str, size_bytes: int, modified: float | None) -> dict[str, Any]:
    shown = path.encode("utf-8", "replace").decode()  # names are bytes, and may be no text
    return {"path": shown, "size_bytes": size_bytes, "modified": modified}


def _walk(folder: Path | str, prefix: str, depth: int) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield everything below a folder by its relative path; with its status where it is a regular file."""
    folders = []
    with suppress(OSError), os.scandir(folder) as entries:  # it may go meanwhile
        for entry in entries:
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                is_file = stat.S_ISREG(status.st_mode)
                yield prefix + entry.name, status if is_file else None
                if stat.S_ISDIR(status.st_mode) and depth < MAX_DEPTH:
                    folders.append(entry)
    for entry in folders:
        yield from _walk(entry.path, f"{prefix}{entry.name}/", depth + 1)
