"""Opening an environment: the create call, and what becomes of one that got no answer."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from gym_queue.client import calls
from gym_queue.client.choice import Choice, EnvSource, TaskSource, choose, judge_variables
from gym_queue.client.http1 import check_url
from gym_queue.client.network import Network
from gym_queue.client.replies import read_model
from gym_queue.client.retry import Retries
from gym_queue.client.route import Route, RouteMode, check_mode, choose_route
from gym_queue.client.transport import Carrier
from gym_queue.errors import GymQueueError, Infrastructure, RequestInvalid
from gym_queue.protocol.parse import parse_model
from gym_queue.protocol.sessions import CreateReply, CreateRequest
from gym_queue.settings import find_token

logger = logging.getLogger(__name__)

ABANDON_TIMEOUT_S = 5.0
SOURCE = ("env_spec", "task_spec", "env_dir", "task_id", "benchmark", "env_name")
"""Keywords that say what to open."""


class Options(TypedDict, total=False):
    """Keywords that every way of opening an environment takes; RemoteGymEnv says what they mean."""

    token: str | None
    runner: str | None
    env_id: str | None
    queue_timeout_s: float | None
    priority: int
    metadata: dict[str, Any] | None
    route: RouteMode


class MoreOptions(Options, total=False):
    """Those that RemoteGymEnv takes by position too."""

    timeout: float
    worker_reset_policy: str | None
    verifier_env: Mapping[str, Any] | None
    fast_io: bool


class Everything(MoreOptions, total=False):
    """All keywords of RemoteGymEnv but ``remote_url``."""

    env_spec: EnvSource | None
    task_spec: TaskSource | None
    env_dir: str | Path | None
    task_id: str | None
    benchmark: str | None
    env_name: str | None


@dataclass(frozen=True, slots=True)
class Opened:
    """An environment that was opened."""

    remote_url: str
    timeout_s: float
    reset_policy: str | None
    choice: Choice
    reply: CreateReply
    route: Route


async def open_env(
    network: Network,
    remote_url: str,
    *,
    timeout: float = 300,  # noqa: ASYNC109  the keyword of Gym-Anything's users, in seconds
    worker_reset_policy: str | None = "core",
    token: str | None = None,
    route: RouteMode = "master",
    **options: Any,
) -> Opened:
    """Open an environment; when that fails without an answer, close what may have been opened.

    Args:
        network: How to wait.
        remote_url, timeout, worker_reset_policy, token, route: As RemoteGymEnv takes them.
        options: What to open, as ``choose`` takes it; and those of ``build_request``.
    """
    if not timeout > 0:
        raise RequestInvalid(f"timeout is {timeout!r}: give a number of seconds above 0")
    check_mode(route)
    url = check_url(remote_url)
    source = {name: options.pop(name) for name in SOURCE if name in options}
    choice = await network.offload(lambda: choose(**source))  # reads files
    request = build_request(choice, **options)
    given = await network.offload(find_token) if token is None else token
    home, reply = Carrier(url, given, network), None
    try:
        reply = read_model(CreateReply, await home.send(calls.create(request, timeout_s=timeout)))
        routed = await choose_route(route, home, reply)
    except BaseException as error:
        may_live = isinstance(error, (Infrastructure, KeyboardInterrupt, asyncio.CancelledError))
        if reply is not None or may_live:
            await _abandon(home, str(request.env_id))
        home.close()
        raise
    return Opened(url, timeout, worker_reset_policy, choice, reply, routed)


def build_request(
    choice: Choice,
    *,
    env_id: str | None = None,
    runner: str | None = None,
    verifier_env: Mapping[str, Any] | None = None,
    **options: Any,
) -> CreateRequest:
    """Return the create request for a choice.

    Args:
        choice: What to open.
        env_id: Its name; None makes a UUID.
        runner: Overrides the spec's.
        verifier_env: None takes those of ``judge_variables`` from this process.
        options: Further fields of CreateRequest.

    Raises:
        RequestInvalid: A field is not valid.
    """
    variables = judge_variables(choice.task_spec, os.environ) if verifier_env is None else verifier_env
    fields = {
        **choice.fields,
        **options,
        "env_id": env_id or str(uuid.uuid4()),
        "runner": choice.runner(runner),
        "verifier_env": {str(key): str(value) for key, value in variables.items() if value is not None},
    }
    return parse_model(CreateRequest, fields)


async def _abandon(home: Carrier, env_id: str) -> None:
    try:
        await home.send(calls.close(env_id, timeout_s=ABANDON_TIMEOUT_S, retries=Retries(connect_s=0)))
    except GymQueueError as error:
        logger.debug("nothing to close after the create that failed: %s", error)
