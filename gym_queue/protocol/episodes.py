"""Finished episodes: their rows, what is asked of a list of them, and the calls of workers and masters about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field

from gym_queue import errors
from gym_queue.errors import RequestInvalid
from gym_queue.protocol.calls import ENV_ID, FILE, PART, PATH, PATH_CHARS, Call, Schema
from gym_queue.protocol.fleet import WORKER_ID_PATTERN
from gym_queue.protocol.parse import parse_model
from gym_queue.protocol.sessions import ENV_ID_PATTERN, Message

EPISODE_PATTERN = r"^episode_[0-9]{3,9}(\.[0-9]{1,3})?$"
"""The name of an episode's folder; a number follows that of an environment whose id was used before."""
MAX_LIMIT = 500
FILTER_CHARS = 200
MAX_BEFORE = 1e12
FEEDBACK_CHARS = 300

Outcome = Literal["passed", "failed", "unjudged", "error", "unfinished"]
"""By the verifier's verdict; ended without a verifier; could not be judged; its environment ended first."""
OUTCOMES: tuple[Outcome, ...] = ("passed", "failed", "unjudged", "error", "unfinished")


class EpisodeRow(Message):
    """One finished episode, as lists show it."""

    worker_id: str = Field(pattern=WORKER_ID_PATTERN)
    env_id: str = Field(pattern=ENV_ID_PATTERN)
    episode: str = Field(pattern=EPISODE_PATTERN)
    """Its folder's name: unique with env_id and worker_id."""
    env: str | None = None
    """The environment folder's name, or its spec's id."""
    task_id: str | None = None
    runner: str | None = None
    """As session_info names it."""
    started: float = Field(ge=0, le=MAX_BEFORE)
    """Unix seconds."""
    ended: float = Field(ge=0, le=MAX_BEFORE)
    """Unix seconds of the last event."""
    steps: int = Field(ge=0)
    outcome: Outcome
    reward: float | None = None
    """None when it was not judged."""
    passed: bool | None = None
    reason: str | None = None
    """Why it ended: Agent Completed, max_steps, timeout."""
    feedback: str | None = None
    """The verifier's, its beginning."""
    error: str | None = None
    """Why it could not be judged."""
    frames: int = Field(0, ge=0)
    has_video: bool = False
    size_bytes: int = Field(0, ge=0)


class EpisodeList(Message):
    """Of ``GET /episodes`` and ``GET /api/episodes``."""

    as_of: float
    rows: list[EpisodeRow]
    """The latest first."""
    next_before: float | None
    """``before`` of the next page; None when there is none."""
    unreachable: list[str] = Field(default_factory=list)
    """Workers that did not answer, and may have more."""


class EpisodeFile(Message):
    """A file of an episode."""

    path: str
    size_bytes: int = Field(ge=0)
    modified: float
    """Unix seconds."""


class EpisodeView(EpisodeRow):
    """One finished episode, whole."""

    as_of: float
    events: list[dict[str, Any]]
    """Of traj.jsonl, in their order."""
    events_cut: bool
    """Whether there are more: traj.jsonl has them all."""
    summary: dict[str, Any] | None
    verdict: dict[str, Any] | None
    """The verifier's, whole."""
    frames: list[int]  # type: ignore[assignment]  # the numbers, where a row has their count
    """Those that are kept: frame_00000.png is the first observation, frame k + 1 belongs to step k."""
    files: list[EpisodeFile]
    """All but the frames."""


class EpisodeQuery(Message):
    """Which episodes are asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    worker: str = Field("", max_length=FILTER_CHARS)
    env: str = Field("", max_length=FILTER_CHARS)
    """The environment's name, or an environment's id."""
    task: str = Field("", max_length=FILTER_CHARS)
    outcome: Literal["", "passed", "failed", "unjudged", "error", "unfinished"] = ""
    before: float | None = Field(None, ge=0, le=MAX_BEFORE)
    """Only those that ended before; Unix seconds."""
    limit: int = Field(100, ge=1, le=MAX_LIMIT)

    @classmethod
    def of(cls, items: Iterable[tuple[str, str]]) -> EpisodeQuery:
        """Read a call's query; keys that are not of this list are left alone.

        Raises:
            RequestInvalid: A key twice, or a value that cannot be.
        """
        given: dict[str, str] = {}
        for name, value in items:
            if name in given:
                raise RequestInvalid(f"{name} is given more than once: give it once", {"key": name})
            if name in cls.model_fields:
                given[name] = value
        return parse_model(cls, given)

    def takes(self, row: EpisodeRow) -> bool:
        """Return whether a row is asked for."""
        return (
            (not self.worker or row.worker_id == self.worker)
            and (not self.env or self.env in (row.env, row.env_id))
            and (not self.task or row.task_id == self.task)
            and (not self.outcome or row.outcome == self.outcome)
            and (self.before is None or row.ended < self.before)
        )

    def page(self, rows: Sequence[EpisodeRow]) -> tuple[list[EpisodeRow], float | None]:
        """Return the first rows of a sorted list, at most ``limit``, and ``before`` of the next page.

        Rows that ended at the same moment as the page's last are not parted from it by the page's end.
        """
        shown = list(rows[: self.limit])
        shown += [row for row in rows[self.limit :] if row.ended == shown[-1].ended]
        return shown, shown[-1].ended if len(rows) > len(shown) else None


def sort_key(row: EpisodeRow) -> tuple[float, str, str]:
    """Return what rows are sorted by, the largest first."""
    return row.ended, row.env_id, row.episode


def _filter(name: str, description: str, **schema: Any) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string", **schema}}


def _in_path(name: str, pattern: str, example: str) -> Schema:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


QUERY: tuple[Schema, ...] = (
    _filter("worker", "Only of this worker.", maxLength=FILTER_CHARS),
    _filter("env", "Only of this environment: its name or its id.", maxLength=FILTER_CHARS),
    _filter("task", "Only of this task.", maxLength=FILTER_CHARS),
    _filter("outcome", "Only those that ended so.", enum=["", *OUTCOMES]),
    {
        **_filter("before", "Only those that ended before; Unix seconds."),
        "schema": {"type": "number", "minimum": 0, "maximum": MAX_BEFORE},
    },
    {
        **_filter("limit", "Most rows of a reply."),
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 100},
    },
)
WORKER = _in_path("worker_id", WORKER_ID_PATTERN, "worker-1")
EPISODE = _in_path("episode", EPISODE_PATTERN, "episode_001")
FILE_PATH: Schema = {
    **PATH,
    "description": "Of a file, relative to the episode's folder; frame_00012.png is one whether or not it is a file there.",
    "schema": {"type": "string", "maxLength": PATH_CHARS},
}
UNCHANGED: Schema = {"description": "The file is what If-None-Match names"}
FILES = {"200": FILE, "206": PART, "304": UNCHANGED}
ROW_EXAMPLE = {
    "worker_id": "worker-1",
    "env_id": ENV_ID,
    "episode": "episode_001",
    "env": "terminal_env",
    "task_id": "largest_file",
    "runner": "LocalRunner",
    "started": 1767225540.0,
    "ended": 1767225600.0,
    "steps": 12,
    "outcome": "passed",
    "reward": 1.0,
    "passed": True,
    "reason": "Agent Completed",
    "feedback": "the name is right",
    "frames": 13,
    "has_video": False,
    "size_bytes": 64000,
}
LIST_EXAMPLE = {"as_of": 1767225660.0, "rows": [ROW_EXAMPLE], "next_before": None, "unreachable": []}
VIEW_EXAMPLE = {
    **ROW_EXAMPLE,
    "as_of": 1767225660.0,
    "events": [{"event": "reset", "ts": 1767225540.0, "seed": None}],
    "events_cut": False,
    "summary": {"steps": 12, "reward": 1.0},
    "verdict": {"mode": "program", "passed": True, "score": 100, "feedback": "the name is right"},
    "frames": [0, 1, 2],
    "files": [{"path": "traj.jsonl", "size_bytes": 1024, "modified": 1767225600.0}],
}
EPISODE_ERRORS = (errors.PathNotFound, errors.RequestInvalid)
HANDED_ON = (errors.WorkerNotFound, errors.WorkerUnreachable, errors.GatewayTimeout, errors.BadReply)


def _list(path: str, summary: str) -> Call:
    return Call(
        method="GET",
        path=path,
        summary=summary,
        parameters=QUERY,
        reply=EpisodeList,
        reply_example=LIST_EXAMPLE,
        errors=(errors.RequestInvalid,),
    )


def _view(path: str, parameters: tuple[Schema, ...], *more: type[errors.GymQueueError]) -> Call:
    return Call(
        method="GET",
        path=path,
        summary="A finished episode: its events, its verdict, its files.",
        parameters=parameters,
        reply=EpisodeView,
        reply_example=VIEW_EXAMPLE,
        errors=(*EPISODE_ERRORS, *more),
    )


def _file(path: str, parameters: tuple[Schema, ...], *more: type[errors.GymQueueError]) -> Call:
    return Call(
        method="GET",
        path=f"{path}/file",
        summary="A file of a finished episode, or one range of its bytes.",
        parameters=(*parameters, FILE_PATH),
        others=FILES,
        errors=(*EPISODE_ERRORS, errors.Forbidden, *more),
    )


ONE, ONE_OF = "/episodes/{env_id}/{episode}", "/workers/{worker_id}/episodes/{env_id}/{episode}"
WORKER_EPISODE_CALLS = (
    _list("/episodes", "Finished episodes of this worker, the latest first."),
    _view(ONE, (EPISODE,)),
    _file(ONE, (EPISODE,)),
)
"""What a worker answers."""
MASTER_EPISODE_CALLS = (
    _list("/api/episodes", "Finished episodes of all workers, the latest first."),
    _view(ONE_OF, (WORKER, EPISODE), *HANDED_ON),
    _file(ONE_OF, (WORKER, EPISODE), *HANDED_ON),
)
"""What a master answers: the list itself, of one episode what its worker says."""
