"""A worker's calls about its finished episodes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi import Path as InPath
from starlette.responses import Response

from gym_queue.env.spool import SPOOL
from gym_queue.errors import PathNotFound
from gym_queue.protocol.calls import PATH_CHARS
from gym_queue.protocol.episodes import EPISODE_PATTERN, ONE, EpisodeQuery
from gym_queue.protocol.sessions import ENV_ID_PATTERN
from gym_queue.runners.beneath import open_file
from gym_queue.worker.archive import Archive
from gym_queue.worker.files import BYTES, FileReply, confine

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".mp4": "video/mp4",
    ".json": "text/plain; charset=utf-8",
    ".jsonl": "application/x-ndjson",
    ".txt": "text/plain; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
}
"""What a browser may show; all else is bytes to it. JSON may be none: it is a text that somebody wrote."""
CACHE_CONTROL = "private, max-age=3600"
"""A finished episode does not change."""

EnvId = Annotated[str, InPath(pattern=ENV_ID_PATTERN)]
EpisodeName = Annotated[str, InPath(pattern=EPISODE_PATTERN)]


def add_episodes(app: FastAPI, archive: Archive | None) -> None:
    """Add the calls.

    Args:
        app: The worker's.
        archive: None keeps nothing.
    """

    @app.get("/episodes")
    def episodes(http: Request) -> Response:
        """Finished episodes, the latest first."""
        query = EpisodeQuery.of(http.query_params.multi_items())
        rows, next_before = query.page(archive.rows(query) if archive else [])
        shown = [row.model_dump() for row in rows]
        return _json({"as_of": time.time(), "rows": shown, "next_before": next_before, "unreachable": []})

    @app.get(ONE)
    def episode(env_id: EnvId, episode: EpisodeName) -> Response:
        """A finished episode: its events, its verdict, its files."""
        return _json(_kept(archive).show(env_id, episode))

    @app.head(f"{ONE}/file", include_in_schema=False)
    @app.get(f"{ONE}/file", response_class=FileReply, status_code=200)
    def episode_file(
        env_id: EnvId, episode: EpisodeName, path: Annotated[str, Query(max_length=PATH_CHARS)], http: Request
    ) -> Response:
        """A file of a finished episode, or one range of its bytes."""
        fd, name, place = _open(_kept(archive), env_id, episode, path)
        tag = _tag_of(fd, place)
        if tag in http.headers.get("if-none-match", ""):
            os.close(fd)
            return Response(status_code=304, headers={"ETag": tag, "Cache-Control": CACHE_CONTROL})
        known = http.headers.get("if-range", tag)
        asked = http.headers.get("range") if known == tag else None
        kind = MEDIA_TYPES.get(Path(name).suffix.lower(), BYTES)
        reply = FileReply(fd, name, asked, place=place, media_type=kind)
        reply.headers["ETag"] = tag
        reply.headers["Cache-Control"] = CACHE_CONTROL
        return reply


def _kept(archive: Archive | None) -> Archive:
    if archive is None:
        raise PathNotFound("this worker keeps no episodes: start it without --keep-episodes 0")
    return archive


def _open(archive: Archive, env_id: str, episode: str, path: str) -> tuple[int, str, tuple[int, int] | None]:
    """Return the descriptor of what holds a file, the file's name, and where it is in there; None is all of it."""
    folder = archive.files(env_id, episode)
    place = archive.frame_place(env_id, episode, path)
    if place is not None:
        return open_file(folder, Path(SPOOL)), path, place
    found = confine(path, folder)
    return open_file(folder.resolve(), found.relative_to(folder.resolve())), found.name, None


def _tag_of(fd: int, place: tuple[int, int] | None) -> str:
    file = os.fstat(fd)
    start, size = place or (0, file.st_size)
    return f'"{file.st_mtime_ns:x}-{start:x}-{size:x}"'


def _json(body: dict[str, Any]) -> Response:
    """Return a reply in ASCII: what callers logged may hold halves of characters."""
    return Response(json.dumps(body, allow_nan=False), media_type="application/json")
