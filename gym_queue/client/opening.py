"""Opening an environment: the create call, and what becomes of one that got no answer."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Mapping
from typing import Any, TypedDict

from gym_queue.client import calls
from gym_queue.client.choice import Choice, judge_variables
from gym_queue.client.replies import read_model
from gym_queue.client.retry import Retries
from gym_queue.client.transport import Transport
from gym_queue.errors import GymQueueError, Infrastructure
from gym_queue.protocol.parse import parse_model
from gym_queue.protocol.sessions import CreateReply, CreateRequest

logger = logging.getLogger(__name__)

ABANDON_TIMEOUT_S = 5.0


class Options(TypedDict, total=False):
    """Keywords that every way of opening a RemoteGymEnv takes."""

    token: str | None
    runner: str | None
    env_id: str | None
    queue_timeout_s: float | None
    priority: int
    metadata: dict[str, Any] | None


def build_request(
    choice: Choice,
    *,
    env_id: str | None,
    runner: str | None,
    verifier_env: Mapping[str, Any] | None,
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


def open_env(transport: Transport, request: CreateRequest, *, timeout_s: float) -> CreateReply:
    """Open an environment; when that fails without an answer, close what may have been opened.

    Args:
        transport: Closed when opening fails.
        request: Of ``build_request``.
        timeout_s: Beyond the wait for a free slot that the request allows.
    """
    try:
        return read_model(CreateReply, transport.send(calls.create(request, timeout_s=timeout_s)))
    except BaseException as error:
        if isinstance(error, (Infrastructure, KeyboardInterrupt)):
            _abandon(transport, str(request.env_id))
        transport.close()
        raise


def _abandon(transport: Transport, env_id: str) -> None:
    try:
        transport.send(calls.close(env_id, timeout_s=ABANDON_TIMEOUT_S, retries=Retries(connect_s=0)))
    except GymQueueError as error:
        logger.debug("nothing to close after the create that failed: %s", error)
