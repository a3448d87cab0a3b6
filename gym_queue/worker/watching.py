"""The calls of those who only watch an environment: its screen, its calls, its trajectory, its files."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from gym_queue.protocol import watching as wire
from gym_queue.worker.artifacts import list_files
from gym_queue.worker.eye import Eyes, Look
from gym_queue.worker.host import Host

MEDIA = {"jpeg": "image/jpeg", "png": "image/png", "text": "text/plain; charset=utf-8"}
TAGS = 16
"""Of If-None-Match that are looked at."""
_TAG = re.compile(r'\*|"[!#-~]{0,80}"')

After = Annotated[int, Query(ge=0, le=wire.MAX_NUMBER)]


def add_watching(app: FastAPI, host: Host) -> None:
    """Let the app answer who watches.

    Args:
        app: The worker's.
        host: The environments; none of these calls counts as a use of them.
    """
    eyes = Eyes(host)
    _add_screen(app, eyes)
    _add_calls(app, host)
    _add_episode(app, host, eyes)


def _add_screen(app: FastAPI, eyes: Eyes) -> None:
    @app.head("/envs/{env_id}/screen", include_in_schema=False)
    @app.get("/envs/{env_id}/screen", response_class=Response, status_code=200)
    async def screen(
        env_id: str,
        http: Request,
        width: Annotated[int, Query(ge=wire.MIN_WIDTH_PX, le=wire.MAX_WIDTH_PX)] = wire.DEFAULT_WIDTH_PX,
        format: Literal["jpeg", "png"] = "jpeg",  # noqa: A002  the query's word
    ) -> Response:
        """The screen as it is now."""
        known = _TAG.findall(http.headers.get("if-none-match", ""))[:TAGS]
        return _picture(await eyes.look(env_id, width, format, known=known))


def _picture(look: Look) -> Response:
    headers = {
        "ETag": look.tag,
        "Cache-Control": "private, no-store",
        "X-Frame-At": f"{look.at:.3f}",
        "X-Content-Type-Options": "nosniff",
    }
    if look.size[0]:
        headers["X-Screen-Size"] = f"{look.size[0]}x{look.size[1]}"
    if look.body is None:
        return Response(status_code=304, headers=headers)
    return Response(look.body, headers={**headers, "Content-Type": MEDIA[look.kind]})


def _add_calls(app: FastAPI, host: Host) -> None:
    @app.get("/envs/{env_id}/calls")
    async def calls(env_id: str, after: After = 0) -> dict[str, Any]:
        """The latest calls that the environment answered."""
        log = host.get(env_id).calls
        found = [{**each._asdict(), "ok": each.error_code is None} for each in log.after(after)]
        return {"as_of": time.time(), "calls": found, "next": log.last}


def _add_episode(app: FastAPI, host: Host, eyes: Eyes) -> None:
    @app.get("/envs/{env_id}/trajectory", response_class=Response)
    async def trajectory(
        env_id: str, after: After = 0, limit: Annotated[int, Query(ge=1, le=wire.MAX_EVENTS)] = 500
    ) -> Response:
        """The running episode's events."""
        place = await eyes.place(env_id)
        if place.folder is None:
            return _page(None, [], 0, place.state)
        reader = host.get(env_id).trajectory
        async with reader.lock:
            events, following = await asyncio.to_thread(reader.read, place.folder, after, limit)
        return _page(place.folder.name, events, following, place.state)

    @app.get("/envs/{env_id}/artifacts")
    async def artifacts(env_id: str, frames: Literal["0", "1"] = "0") -> dict[str, Any]:
        """The running episode's files."""
        place = await eyes.place(env_id)
        if place.folder is None:
            return {"as_of": time.time(), "episode": None, "files": [], "cut": False}
        unwritten = place.unwritten if frames == "1" else None
        files, cut = await asyncio.to_thread(list_files, place.folder, unwritten)
        return {"as_of": time.time(), "episode": place.folder.name, "files": files, "cut": cut}


def _page(episode: str | None, events: list[bytes], following: int, state: str) -> Response:
    """Return a reply of events that are JSON already."""
    name = b"null" if episode is None else b'"%b"' % episode.encode()
    body = b'{"as_of":%.6f,"episode":%b,"events":[%b],"next":%d,"state":"%b"}' % (
        *(time.time(), name, b",".join(events)),
        *(following, state.encode()),
    )
    return Response(body, media_type="application/json")
