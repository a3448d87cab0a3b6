"""Finished episodes of all workers: each worker keeps its own, and the master asks them."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import httpx
from fastapi import FastAPI, Query, Request
from fastapi import Path as InPath
from starlette.responses import Response, StreamingResponse

from gym_queue.errors import (
    BadReply,
    GatewayTimeout,
    GymQueueError,
    PathNotFound,
    WorkerNotFound,
    WorkerUnreachable,
    from_wire,
)
from gym_queue.master.asking import UNBOUNDED, read_bounded
from gym_queue.master.fleet import Fleet
from gym_queue.protocol.calls import PATH_CHARS
from gym_queue.protocol.episodes import (
    EPISODE_PATTERN,
    ONE_OF,
    EpisodeList,
    EpisodeQuery,
    EpisodeRow,
    sort_key,
)
from gym_queue.protocol.fleet import WORKER_ID_PATTERN, WorkerStatus
from gym_queue.protocol.parse import parse_body
from gym_queue.protocol.replies import ErrorBody
from gym_queue.protocol.sessions import ENV_ID_PATTERN
from gym_queue.web.relayed import Relayed

logger = logging.getLogger(__name__)

AT_ONCE = 32
"""Workers that are asked at the same time."""
ALL_S = 3.0
"""How long all of them may take together."""
FRESH_S = 2.0
"""How long an answer stands."""
KEPT_ANSWERS = 64
FEW = 5
"""Rows that each of many workers is asked for at least."""
ERROR_BYTES, ERROR_CHARS = 64 << 10, 1000
HANDED_ON = frozenset({200, 206, 304})
REFUSED = frozenset({400, 403, 404, 422})
"""What a worker may say of a caller's request."""
FILE_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
"""Between two parts of an answer."""
ASKED_HEADERS = ("range", "if-range", "if-none-match", "if-modified-since")
"""Of a caller's request, shown to the worker."""
SAID_HEADERS = (
    *("content-type", "content-length", "content-range", "content-disposition", "accept-ranges"),
    *("etag", "last-modified", "cache-control"),
)
"""Of a worker's reply, handed on."""
MEDIA_TYPES = frozenset(
    {
        *("image/png", "image/jpeg", "video/mp4", "application/json", "application/x-ndjson"),
        *("text/plain; charset=utf-8", "application/octet-stream"),
    }
)
"""What a browser may be told that a file is."""

WorkerId = Annotated[str, InPath(pattern=WORKER_ID_PATTERN)]
EnvId = Annotated[str, InPath(pattern=ENV_ID_PATTERN)]
EpisodeName = Annotated[str, InPath(pattern=EPISODE_PATTERN)]
FilePath = Annotated[str, Query(max_length=PATH_CHARS)]


@dataclass(slots=True)
class _Found:
    """What the workers said to one question."""

    rows: dict[tuple[str, str, str], EpisodeRow] = field(default_factory=dict)
    more: dict[str, float] = field(default_factory=dict)
    """Worker that has more → when the last of its rows ended."""
    silent: set[str] = field(default_factory=set)


class Episodes:
    """Asks the workers for their episodes.

    Args:
        fleet: Which workers there are.
        client: For calls to workers; None takes them all for unreachable.
        clock: Seconds.
    """

    def __init__(
        self,
        fleet: Fleet,
        client: httpx.AsyncClient | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet, self._client, self._clock = fleet, client, clock
        self._answers: OrderedDict[EpisodeQuery, tuple[float, asyncio.Task[EpisodeList]]] = OrderedDict()

    async def latest(self, query: EpisodeQuery) -> EpisodeList:
        """Return the latest episodes of all workers, as they were at most ``FRESH_S`` ago."""
        asked_at, asking = self._answers.get(query, (0.0, None))
        is_stale = asking is not None and asking.done() and self._clock() - asked_at > FRESH_S
        if asking is None or is_stale:
            asking = asyncio.ensure_future(self._ask_all(query))
            self._answers[query] = self._clock(), asking
            while len(self._answers) > KEPT_ANSWERS:
                self._answers.popitem(last=False)
        return await asyncio.shield(asking)  # others may wait for it as well

    async def hand_on(self, worker_id: str, path: str, http: Request) -> Response:
        """Answer what a worker answers.

        Args:
            worker_id: The worker.
            path: Of the call there.
            http: The caller's request.

        Raises:
            WorkerNotFound: None that lives has this id.
            WorkerUnreachable, GatewayTimeout: It does not answer.
            BadReply: It failed.
        """
        url = self._fleet.url(worker_id)
        if url is None or self._client is None:
            raise WorkerNotFound(
                f"there is no live worker {worker_id}: its episodes are on its host, and come back with a worker of that id there"
            )
        told = {name: http.headers[name] for name in ASKED_HEADERS if name in http.headers}
        told["X-Request-ID"] = http.scope.get("request_id", "")
        asked = {name.encode(): value.encode("latin-1") for name, value in told.items()}
        try:
            request = self._client.build_request(
                http.method,
                f"{url}{path}",
                params=http.query_params,
                headers=asked,
                timeout=FILE_TIMEOUT,
                extensions={UNBOUNDED: True},
            )
            reply = await self._client.send(request, stream=True)
        except httpx.TimeoutException as error:
            raise GatewayTimeout(f"worker {worker_id} did not answer in time: try again") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise WorkerUnreachable(
                f"worker {worker_id} at {url} cannot be reached ({error or type(error).__name__}): try again, or look whether it runs"
            ) from error
        if reply.status_code in HANDED_ON:
            return Relayed(reply, _headers_of(reply))
        raise await _refusal(reply, worker_id)

    async def _ask_all(self, query: EpisodeQuery) -> EpisodeList:
        """Ask each of many workers for few rows, then those for more whose rows are among the first."""
        workers = {
            worker.worker_id: worker.url
            for worker in self._fleet.snapshots()
            if worker.status is not WorkerStatus.DEAD and query.worker in ("", worker.worker_id)
        }
        found = _Found()
        few = max(FEW, -(-4 * query.limit // max(1, len(workers))))
        questions = dict.fromkeys(workers, query.model_copy(update={"limit": min(few, query.limit)}))
        try:
            async with asyncio.timeout(ALL_S):
                await self._ask(questions, workers, found)
                last = _last_of_page(found, query.limit)
                behind = {worker_id: ended for worker_id, ended in found.more.items() if ended > last}
                questions = {
                    worker_id: query.model_copy(update={"before": ended})
                    for worker_id, ended in behind.items()
                }
                await self._ask(questions, workers, found)
        except TimeoutError:
            logger.info("%d workers did not say in time which episodes they have", len(found.silent))
        return _listed(found, query)

    async def _ask(
        self, questions: Mapping[str, EpisodeQuery], workers: Mapping[str, str], found: _Found
    ) -> None:
        """Ask workers, a few at once; those that have not answered when this is broken off are silent."""
        turn = asyncio.Semaphore(AT_ONCE)
        found.silent |= questions.keys()

        async def ask(worker_id: str, question: EpisodeQuery) -> None:
            async with turn:
                page = await self._ask_one(worker_id, workers[worker_id], question)
            if page is None:
                return
            found.silent.discard(worker_id)
            found.rows |= {(row.worker_id, row.env_id, row.episode): row for row in page.rows}
            found.more.pop(worker_id, None)
            if page.next_before is not None and page.rows:
                found.more[worker_id] = page.rows[-1].ended

        async with asyncio.TaskGroup() as group:
            for worker_id, question in questions.items():
                group.create_task(ask(worker_id, question))

    async def _ask_one(self, worker_id: str, url: str, question: EpisodeQuery) -> EpisodeList | None:
        """Return a worker's page; an empty one of a worker that does not know the call, None of one that fails."""
        if self._client is None:
            return None
        params = {
            name: value
            for name, value in question.model_dump(exclude={"worker"}).items()
            if value not in ("", None)
        }
        try:
            reply = await self._client.get(f"{url}/episodes", params=params, timeout=ALL_S)
            if reply.status_code == httpx.codes.NOT_FOUND:
                return EpisodeList(as_of=0, rows=[], next_before=None)
            reply.raise_for_status()
            page = parse_body(EpisodeList, reply.content)
        except (httpx.HTTPError, httpx.InvalidURL, GymQueueError) as error:
            logger.debug("worker %s does not say which episodes it has: %s", worker_id, error)
            return None
        rows = [row.model_copy(update={"worker_id": worker_id}) for row in page.rows]
        return page.model_copy(update={"rows": rows})


def add_episodes(app: FastAPI, episodes: Episodes) -> None:
    """Add the calls to the master's app."""

    @app.get("/api/episodes")
    async def list_episodes(http: Request) -> EpisodeList:
        """Finished episodes of all workers, the latest first."""
        return await episodes.latest(EpisodeQuery.of(http.query_params.multi_items()))

    @app.get(ONE_OF, response_class=StreamingResponse)
    async def episode(worker_id: WorkerId, env_id: EnvId, episode: EpisodeName, http: Request) -> Response:
        """A finished episode, as its worker shows it."""
        return await episodes.hand_on(worker_id, f"/episodes/{env_id}/{episode}", http)

    @app.head(f"{ONE_OF}/file", include_in_schema=False)
    @app.get(f"{ONE_OF}/file", response_class=StreamingResponse)
    async def episode_file(
        worker_id: WorkerId,
        env_id: EnvId,
        episode: EpisodeName,
        path: FilePath,  # noqa: ARG001  checked here, and handed on with the query
        http: Request,
    ) -> Response:
        """A file of a finished episode, as its worker serves it."""
        return await episodes.hand_on(worker_id, f"/episodes/{env_id}/{episode}/file", http)


def _last_of_page(found: _Found, limit: int) -> float:
    """Return when the last row ended that a page of what was found would show; those before it may be missing."""
    latest = heapq.nlargest(limit, (row.ended for row in found.rows.values()))
    return latest[-1] if len(latest) == limit else 0.0


def _listed(found: _Found, query: EpisodeQuery) -> EpisodeList:
    """Return the page that is sure: no worker that answered has a row of its time that is not on it."""
    sure = max(found.more.values(), default=0.0)
    rows = [row for row in found.rows.values() if row.ended >= sure]
    rows.sort(key=sort_key, reverse=True)
    shown, next_before = query.page(rows)
    if next_before is None and shown and found.more:
        next_before = shown[-1].ended
    return EpisodeList(
        as_of=time.time(), rows=shown, next_before=next_before, unreachable=sorted(found.silent)
    )


def _headers_of(reply: httpx.Response) -> dict[str, str]:
    headers = {name: reply.headers[name] for name in SAID_HEADERS if name in reply.headers}
    if headers.get("content-type") not in (None, *MEDIA_TYPES):
        headers["content-type"] = "application/octet-stream"
    return headers


async def _refusal(reply: httpx.Response, worker_id: str) -> GymQueueError:
    """Return why a worker refuses; what it may not say of a caller's request is its own failure."""
    if reply.request.method == "HEAD" and reply.status_code in REFUSED:
        await reply.aclose()
        return from_wire(reply.status_code, {})
    try:
        said = parse_body(ErrorBody, await read_bounded(reply, ERROR_BYTES))
        refusal = from_wire(reply.status_code, {"error": said.error[:ERROR_CHARS], "code": said.code})
        if refusal.status == reply.status_code and reply.status_code in REFUSED:
            return refusal
    except (httpx.HTTPError, GymQueueError) as error:
        logger.info("worker %s answered %d: %s", worker_id, reply.status_code, error)
    finally:
        await reply.aclose()
    if reply.status_code == httpx.codes.NOT_FOUND:
        return PathNotFound(f"worker {worker_id} keeps no episodes: it is of an earlier version")
    return BadReply(f"worker {worker_id} answered {reply.status_code}: see its log, and try again")
