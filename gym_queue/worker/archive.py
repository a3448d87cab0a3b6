"""A worker's finished episodes: kept on its disk beyond its own life, the oldest removed first.

An episode is an entry of the archive's folder: its files, and beside them ``episode.json``, what lists show of it.
Entries come by renames, from the environments' own processes and from the fork server; nobody tells this one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gym_queue.errors import GymQueueError, PathNotFound
from gym_queue.protocol.episodes import EpisodeQuery, EpisodeRow, sort_key
from gym_queue.worker import episodefiles
from gym_queue.worker.cleanup import remove_tree
from gym_queue.worker.putaway import (
    FILES,
    INCOMING,
    PARTING,
    KeepRule,
    copy_entry,
    entries,
    is_entry,
    split_name,
)

logger = logging.getLogger(__name__)

INDEX = "episode.json"
GONE = ".gone-"
"""Before the names of entries that are being removed."""
STALE_S = 3600.0
"""What was being copied this long ago never will be whole."""
KNOWN_SPOOLS = 16
"""Episodes whose frames' places are remembered."""


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What a worker keeps."""

    episodes: int = 200
    size_bytes: int = 5 << 30


class Archive:
    """The finished episodes of one worker; any thread may ask.

    Args:
        worker_id: Whose they are.
        rule: Where they are, and where those wait that must be copied.
        limits: How many are kept.
        clock: Unix seconds.
    """

    def __init__(
        self,
        worker_id: str,
        rule: KeepRule,
        limits: ArchiveLimits,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.rule = rule
        self._worker_id, self._limits, self._clock = worker_id, limits, clock
        self._rows: dict[str, EpisodeRow] = {}
        self._spools: OrderedDict[str, dict[str, tuple[int, int]]] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, query: EpisodeQuery) -> list[EpisodeRow]:
        """Return all the episodes that are asked for, the latest first; ``limit`` is the caller's to apply."""
        return sorted(filter(query.takes, self._refresh().values()), key=sort_key, reverse=True)

    def show(self, env_id: str, episode: str) -> dict[str, Any]:
        """Return one episode whole, as EpisodeView describes it.

        Raises:
            PathNotFound: It is not here.
        """
        row, files = self._find(env_id, episode), self.files(env_id, episode)
        try:
            events, is_cut = episodefiles.read_events(files)
            summary = episodefiles.read_summary(files)
            verdict = summary.get("verifier") if summary else None
            more = {
                "as_of": self._clock(),
                "events": events,
                "events_cut": is_cut,
                "summary": summary,
                "verdict": verdict if isinstance(verdict, dict) else None,
                "frames": episodefiles.frame_numbers(files),
                "files": episodefiles.list_files(files),
            }
        except OSError as error:
            raise _gone(env_id, episode) from error
        return {**row.model_dump(), **more}

    def files(self, env_id: str, episode: str) -> Path:
        """Return the folder of an episode.

        Raises:
            PathNotFound: It is not here.
        """
        folder = self.rule.archive / f"{env_id}{PARTING}{episode}" / FILES
        if not is_entry(folder.parent.name) or folder.is_symlink() or not folder.is_dir():
            raise _gone(env_id, episode)
        return folder

    def frame_place(self, env_id: str, episode: str, name: str) -> tuple[int, int] | None:
        """Return where in its spool a frame is: its start and size, in bytes; None when it is not there."""
        key = f"{env_id}{PARTING}{episode}"
        with self._lock:
            places = self._spools.pop(key, None)
        if places is None:
            places = episodefiles.frame_places(self.files(env_id, episode))
        with self._lock:
            self._spools[key] = places
            while len(self._spools) > KNOWN_SPOOLS:
                self._spools.popitem(last=False)
        return places.get(name)

    def tidy(self) -> None:
        """Copy here what waits to be, note what is new, and remove what is too much."""
        self._copy_staged()
        rows = self._refresh()
        kept, size_bytes = 0, 0
        for name, row in sorted(rows.items(), key=lambda pair: sort_key(pair[1]), reverse=True):
            kept, size_bytes = kept + 1, size_bytes + row.size_bytes
            if kept > self._limits.episodes or size_bytes > self._limits.size_bytes:
                self._remove(name)
        self._sweep()

    def _copy_staged(self) -> None:
        for waiting in entries(self.rule.staging):
            copy_entry(waiting, self.rule)
            remove_tree(waiting)

    def _refresh(self) -> dict[str, EpisodeRow]:
        """Look for entries that came or went; return all there are."""
        with self._lock:
            names = {entry.name for entry in entries(self.rule.archive)}
            for name in self._rows.keys() - names:
                del self._rows[name]
                self._spools.pop(name, None)
            for name in names - self._rows.keys():
                with suppress(OSError):  # removed meanwhile
                    self._rows[name] = self._read(name)
            return dict(self._rows)

    def _read(self, name: str) -> EpisodeRow:
        """Return an entry's row: as it was written down, else as its files say, which is written down."""
        entry, (env_id, episode) = self.rule.archive / name, split_name(name)
        ours = {"worker_id": self._worker_id, "env_id": env_id, "episode": episode}
        with suppress(OSError, ValidationError):
            text = (entry / INDEX).read_bytes()
            return EpisodeRow.model_validate_json(text).model_copy(update=ours)
        row = episodefiles.read_row(entry / FILES, self._worker_id, env_id, episode)
        draft = entry / f".{INDEX}"
        with suppress(OSError):  # a full disk: it is read again by the next worker
            draft.write_text(row.model_dump_json())
            draft.replace(entry / INDEX)
        return row

    def _find(self, env_id: str, episode: str) -> EpisodeRow:
        row = self._refresh().get(f"{env_id}{PARTING}{episode}")
        if row is None:
            raise _gone(env_id, episode)
        return row

    def _remove(self, name: str) -> None:
        going = self.rule.archive / f"{GONE}{name}"
        with suppress(OSError):
            (self.rule.archive / name).rename(going)
        remove_tree(going)

    def _sweep(self) -> None:
        """Remove what earlier workers left half done."""
        for path in self.rule.archive.glob(".*-*"):
            with suppress(OSError):
                is_stale = self._clock() - path.stat().st_mtime > STALE_S
                if path.name.startswith(GONE) or (path.name.startswith(INCOMING) and is_stale):
                    remove_tree(path)


def _gone(env_id: str, episode: str) -> GymQueueError:
    return PathNotFound(
        f"there is no {episode[:40]} of environment {env_id[:128]} here: it is not finished, or was removed as too old (--keep-episodes, --episodes-gb)"
    )
