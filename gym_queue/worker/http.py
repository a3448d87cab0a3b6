"""A worker's HTTP endpoint: the environments' calls, straight or forwarded by a master."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from starlette.types import ASGIApp

from gym_queue.errors import PathNotFound
from gym_queue.protocol import sessions
from gym_queue.protocol.calls import PATH_CHARS
from gym_queue.protocol.methods import Methods
from gym_queue.protocol.openapi import Title, document
from gym_queue.version import __version__
from gym_queue.web.attempts import Attempts, AttemptsMiddleware
from gym_queue.web.auth import TokenMiddleware, same_token
from gym_queue.web.bodylimit import BodyLimitMiddleware
from gym_queue.web.described import DescribedApp
from gym_queue.web.errors import BugMiddleware, install_error_handlers
from gym_queue.web.gone import unless_gone
from gym_queue.web.idempotency import key_of
from gym_queue.web.limits import DEFAULT_BODIES, BodyLimits
from gym_queue.web.requestid import RequestIdMiddleware
from gym_queue.web.rotation import RotatingToken
from gym_queue.worker.archive import Archive
from gym_queue.worker.calls import WORKER_CALLS
from gym_queue.worker.episodecalls import add_episodes
from gym_queue.worker.files import FileReply, check_copyable, confine, open_reply
from gym_queue.worker.host import Host
from gym_queue.worker.hotcalls import HotCalls, route_hot_calls
from gym_queue.worker.logcalls import add_logs
from gym_queue.worker.tickets import Tickets
from gym_queue.worker.traces import TracedCalls, names_of
from gym_queue.worker.transfers import Uploads, take_out
from gym_queue.worker.viewers import Viewers, add_viewing
from gym_queue.worker.watching import add_watching

TIMING_HEADER = "X-Worker-Processing-Time"
TITLE = Title(
    "Gym Queue worker",
    __version__,
    "The worker token, or the cluster's, opens everything; env_token of a create's reply opens that environment's calls.",
)


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """What a worker says of itself."""

    worker_id: str
    url: str
    master_url: str | None
    master_status: Callable[[], str]


def make_worker_app(
    host: Host,
    identity: WorkerIdentity,
    *,
    token: str | RotatingToken | None,
    bodies: BodyLimits = DEFAULT_BODIES,
    archive: Archive | None = None,
) -> ASGIApp:
    """Return the worker's ASGI app.

    Args:
        host: The environments.
        identity: What ``/health`` says.
        token: The worker token, or the cluster's; None serves everybody.
        bodies: How large they may be; of steps, ``host`` says.
        archive: The finished episodes; None keeps none.
    """
    app = DescribedApp(lambda: document(TITLE, WORKER_CALLS))
    install_error_handlers(app, Methods(WORKER_CALLS).of)
    _add_health(app, host, identity)
    _add_lifecycle(app, host, identity)
    _add_episode_calls(app, host)
    _add_file_calls(app, host)
    _add_transfers(app, host)
    tickets, attempts = Tickets(), Attempts()
    add_viewing(app, host, tickets)
    add_watching(app, host)
    add_episodes(app, archive)
    add_logs(app, host, identity.worker_id)
    route_hot_calls(app)
    hot: ASGIApp = BugMiddleware(HotCalls(Uploads(BodyLimitMiddleware(app, bodies), host), host))
    if host.tracing.is_on:
        hot = TracedCalls(hot, host.tracing, names_of(call.path for call in WORKER_CALLS), host.created_in)
    held = RotatingToken(token) if isinstance(token, str) and token else token or None
    check = _checker(host, held) if isinstance(held, RotatingToken) else None
    guarded = TokenMiddleware(hot, check=check)
    told = RequestIdMiddleware(AttemptsMiddleware(guarded, attempts), timing_header=TIMING_HEADER)
    return Viewers(told, host, tickets, check=check, attempts=attempts)


def _checker(host: Host, token: RotatingToken) -> Callable[[str, str], bool]:
    """The cluster token opens everything; an environment's own token opens that environment."""

    def check(path: str, given: str) -> bool:
        if token.opens(given):
            return True
        parts = path.split("/")
        env = host.snapshot().get(parts[2]) if len(parts) > 3 and parts[1] == "envs" else None
        return (env is not None and same_token(given, env.token)) or token.opens_now(given)

    return check


def _add_health(app: FastAPI, host: Host, identity: WorkerIdentity) -> None:
    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the worker serves."""
        return {
            "status": "draining" if host.draining else "healthy",
            "role": "worker",
            "worker_id": identity.worker_id,
            "active_environments": len(host.snapshot()),
            "max_environments": host.limits.max_envs,
            "timeout_seconds": host.limits.idle_timeout_s,
            "master_url": identity.master_url,
            "master_status": identity.master_status(),
            "monitoring_enabled": True,
        }

    @app.get("/envs/list")
    async def list_envs() -> dict[str, Any]:
        """The live environments."""
        now = time.time()
        return {
            "environments": {
                env_id: {
                    "last_activity": env.last_activity,
                    "created_at": env.created_at,
                    "idle_seconds": 0.0 if env.busy else now - env.last_activity,
                    "metadata": env.request.metadata,
                    "env_dir": env.opened.get("env_dir"),
                    "task_id": env.opened.get("task_id"),
                }
                for env_id, env in host.snapshot().items()
            }
        }


def _add_lifecycle(app: FastAPI, host: Host, identity: WorkerIdentity) -> None:
    @app.post("/envs/create", status_code=201)
    async def create(request: sessions.CreateRequest, http: Request) -> sessions.CreateReply:
        """Open an environment here."""
        key_of(http)  # refused when it is none, as by every call that can be repeated
        env = await unless_gone(http, host.open(request))
        return sessions.CreateReply(
            env_id=env.env_id, worker_id=identity.worker_id, worker_url=identity.url, env_token=env.token
        )

    @app.post("/envs/{env_id}/close")
    async def close(env_id: str, http: Request) -> dict[str, str]:
        """End an environment; of one that has ended nothing is left to end."""
        key_of(http)  # refused when it is none, as by every call that can be repeated
        await host.close(env_id)
        return {"status": "closed"}

    @app.post("/envs/{env_id}/keepalive")
    async def keepalive(env_id: str) -> dict[str, Any]:
        """Renew the lease of an environment's client."""
        return {"status": "renewed", "lease_s": host.keepalive(env_id)}

    @app.get("/envs/{env_id}")
    async def show(env_id: str) -> dict[str, Any]:
        """Where one environment is in its life."""
        env, now = host.get(env_id), time.time()
        return {
            "env_id": env_id,
            "state": "closing" if env.ending else "running" if env.busy else "ready",
            "worker_id": identity.worker_id,
            "worker_url": identity.url,
            "age_s": now - env.created_at,
            "idle_s": 0.0 if env.busy else now - env.last_activity,
            "lease_s": env.request.lease_s,
        }


def _add_episode_calls(app: FastAPI, host: Host) -> None:
    @app.post("/envs/{env_id}/trajectory_event")
    async def trajectory_event(env_id: str, request: sessions.TrajectoryEvent) -> dict[str, str]:
        """Append an event to the trajectory."""
        await host.call(env_id, "trajectory_event", {"event": request.event})
        return {"status": "logged"}

    @app.get("/envs/{env_id}/episode_dir")
    async def episode_dir(env_id: str) -> dict[str, Any]:
        """Where the episode's files are, on this worker."""
        return {"episode_dir": await host.call(env_id, "episode_dir")}

    @app.get("/envs/{env_id}/session_info")
    async def session_info(env_id: str) -> dict[str, Any]:
        """What runs behind the environment."""
        return {"session": await host.call(env_id, "session_info")}

    @app.post("/envs/{env_id}/episode_limits")
    async def episode_limits(env_id: str, request: sessions.EpisodeLimits) -> dict[str, Any]:
        """Change the episode's limits."""
        limits = await host.call(env_id, "episode_limits", request.model_dump())
        return {"status": "updated", **limits}

    @app.post("/envs/{env_id}/pause_recording")
    async def pause_recording(env_id: str) -> dict[str, str]:
        """Film nothing until resumed."""
        await host.call(env_id, "pause_recording")
        return {"status": "paused"}

    @app.post("/envs/{env_id}/resume_recording")
    async def resume_recording(env_id: str) -> dict[str, str]:
        """Film on."""
        await host.call(env_id, "resume_recording")
        return {"status": "resumed"}


def _add_file_calls(app: FastAPI, host: Host) -> None:
    also = host.limits.host_policy.allow_paths

    @app.head("/envs/{env_id}/fetch_path", include_in_schema=False)
    @app.get("/envs/{env_id}/fetch_path", response_class=FileReply, status_code=200)
    async def fetch_path(
        env_id: str, path: Annotated[str, Query(max_length=4096)], http: Request
    ) -> FileReply:
        """A file of the episode folder, or one range of its bytes."""
        return open_reply(path, await _episode_dir(host, env_id), http.headers.get("range"))

    @app.post("/envs/{env_id}/save_state")
    async def save_state(env_id: str, request: sessions.SaveState | None = None) -> dict[str, str]:
        """Keep the sandbox's state; the file that names it lies where a copy may lie."""
        named = request.host_snapshot_path if request else None
        target = confine(named, await _episode_dir(host, env_id), also=also) if named else None
        path = await host.call(env_id, "save_state", {"path": str(target) if target else None})
        return {"snapshot_path": path}

    @app.post("/envs/{env_id}/load_state")
    async def load_state(env_id: str, request: sessions.LoadState) -> dict[str, str]:
        """Start a sandbox from a saved state, in place of the one that runs."""
        path = confine(request.host_snapshot_path, await _episode_dir(host, env_id), also=also)
        check_copyable(path)
        await host.call(env_id, "load_state", {"path": str(path)})
        return {"status": "loaded"}

    @app.post("/envs/{env_id}/copy_to_env")
    async def copy_to_env(env_id: str, request: sessions.CopyToEnv) -> dict[str, str]:
        """Copy a file of the episode folder, or of a folder that the operator allowed, into the sandbox."""
        source = confine(request.host_src, await _episode_dir(host, env_id), also=also)
        check_copyable(source)
        arguments = {"host_src": str(source), "container_dst": request.container_dst}
        await host.call(env_id, "copy_to_env", arguments)
        return {"status": "copied"}

    @app.post("/envs/{env_id}/copy_from_env")
    async def copy_from_env(env_id: str, request: sessions.CopyFromEnv) -> dict[str, str]:
        """Copy a file of the sandbox into the episode folder, or into a folder that the operator allowed."""
        target = confine(request.host_dst, await _episode_dir(host, env_id), also=also)
        arguments = {"container_src": request.container_src, "host_dst": str(target)}
        await host.call(env_id, "copy_from_env", arguments)
        return {"status": "copied"}


def _add_transfers(app: FastAPI, host: Host) -> None:
    @app.head("/envs/{env_id}/files", include_in_schema=False)
    @app.api_route("/envs/{env_id}/files", methods=["GET", "PUT"], response_class=FileReply, status_code=200)
    async def get_file(
        env_id: str, path: Annotated[str, Query(max_length=PATH_CHARS)], http: Request
    ) -> FileReply:
        """A file of the sandbox, or one range of its bytes. Uploads answers PUT before the app, which only lists it."""
        fd = await take_out(host, env_id, path)
        return FileReply(fd, PurePosixPath(path).name, http.headers.get("range"))


async def _episode_dir(host: Host, env_id: str) -> Path:
    folder = await host.call(env_id, "episode_dir")
    if folder is None:
        raise PathNotFound(f"environment {env_id} has no episode folder yet: call reset first")
    return Path(folder)
