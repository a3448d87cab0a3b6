"""A worker's HTTP endpoint: the environments' calls, straight or forwarded by a master."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from starlette.types import ASGIApp

from gym_queue.errors import NotSupported, PathNotFound
from gym_queue.protocol import sessions
from gym_queue.version import __version__
from gym_queue.web.attempts import Attempts, AttemptsMiddleware
from gym_queue.web.auth import TokenMiddleware, same_token
from gym_queue.web.errors import BugMiddleware, install_error_handlers
from gym_queue.web.gone import unless_gone
from gym_queue.web.requestid import RequestIdMiddleware
from gym_queue.web.rotation import RotatingToken
from gym_queue.worker.files import FileReply, check_copyable, confine, open_reply
from gym_queue.worker.host import Host
from gym_queue.worker.hotcalls import HotCalls, describe_hot_calls

TIMING_HEADER = "X-Worker-Processing-Time"


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """What a worker says of itself."""

    worker_id: str
    url: str
    master_url: str | None
    master_status: Callable[[], str]


def make_worker_app(host: Host, identity: WorkerIdentity, *, token: str | RotatingToken | None) -> ASGIApp:
    """Return the worker's ASGI app.

    Args:
        host: The environments.
        identity: What ``/health`` says.
        token: The worker token, or the cluster's; None serves everybody.
    """
    app = FastAPI(title="Gym Queue worker", version=__version__, docs_url=None, redoc_url=None)
    install_error_handlers(app)
    _add_health(app, host, identity)
    _add_lifecycle(app, host, identity)
    _add_episode_calls(app, host)
    _add_file_calls(app, host)
    describe_hot_calls(app)
    hot = BugMiddleware(HotCalls(app, host))
    held = RotatingToken(token) if isinstance(token, str) and token else token or None
    guarded = TokenMiddleware(hot, check=_checker(host, held) if isinstance(held, RotatingToken) else None)
    return RequestIdMiddleware(AttemptsMiddleware(guarded, Attempts()), timing_header=TIMING_HEADER)


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
        env = await unless_gone(http, host.open(request))
        return sessions.CreateReply(
            env_id=env.env_id, worker_id=identity.worker_id, worker_url=identity.url, env_token=env.token
        )

    @app.post("/envs/{env_id}/close")
    async def close(env_id: str) -> dict[str, str]:
        """End an environment; of one that has ended nothing is left to end."""
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

    for name in ("save_state", "load_state", "pause_recording", "resume_recording"):
        _add_not_yet(app, host, name)


def _add_not_yet(app: FastAPI, host: Host, name: str) -> None:
    async def not_yet(env_id: str) -> None:
        """Not in this version."""
        host.get(env_id)
        raise NotSupported(f"{name} is not in this version: none of its runners can do it yet")

    app.add_api_route(f"/envs/{{env_id}}/{name}", not_yet, methods=["POST"], name=name)


def _add_file_calls(app: FastAPI, host: Host) -> None:
    also = host.limits.host_policy.allow_paths

    @app.head("/envs/{env_id}/fetch_path", include_in_schema=False)
    @app.get("/envs/{env_id}/fetch_path", response_class=FileReply)
    async def fetch_path(
        env_id: str, path: Annotated[str, Query(max_length=4096)], http: Request
    ) -> FileReply:
        """A file of the episode folder, or one range of its bytes."""
        return open_reply(path, await _episode_dir(host, env_id), http.headers.get("range"))

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


async def _episode_dir(host: Host, env_id: str) -> Path:
    folder = await host.call(env_id, "episode_dir")
    if folder is None:
        raise PathNotFound(f"environment {env_id} has no episode folder yet: call reset first")
    return Path(folder)
