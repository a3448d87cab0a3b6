"""What makes schemathesis' calls reach somewhere: live environments, and values that a small fleet can serve."""

from __future__ import annotations

import itertools
import random
import secrets
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import requests
from requests.adapters import HTTPAdapter
from schemathesis import Case, Response
from schemathesis.core.parameters import ParameterLocation

from gym_queue.protocol.actions import MAX_WAIT_S

TOKEN = secrets.token_hex(16)
AUTH = {"Authorization": f"Bearer {TOKEN}"}
SEED = 20_260_101
SPEC = {
    "id": "small",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 48]}, {"type": "cli_stdout"}],
    "action": [{"type": "mouse"}, {"type": "keyboard"}],
}
LONGEST_S = 0.0
"""Of waits that a call asks for: a step has up to a thousand actions."""
CLOSING = 3
"""Environments that are being closed at once."""
LIVE_SHARE = 0.8
"""Of the calls whose environment may be any."""


class Hooks:
    """Changes what calls ask, never whether it follows the schema, and cleans up behind them.

    Args:
        http: Calls the program that is tried.
        worker_url: Where the fleet's worker serves.
    """

    def __init__(self, http: httpx.Client, worker_url: str) -> None:
        self._http, self._worker_url = http, worker_url
        self._random = random.Random(SEED)
        self._env_id = ""
        self._has_ended = False
        self._keys = itertools.count()
        self._threads = ThreadPoolExecutor(CLOSING)
        self._closing: deque[Future[httpx.Response]] = deque()

    def before_call(self, case: Case) -> None:
        """Aim a call at a live environment, and shorten its waits."""
        if "env_id" in case.path_parameters and self._may(case, ParameterLocation.PATH):
            case.path_parameters["env_id"] = self._live()
        if "Idempotency-Key" in case.headers and self._may(case, ParameterLocation.HEADER):
            case.headers["Idempotency-Key"] = f"key-{next(self._keys)}"
        if isinstance(case.body, dict):
            case.body = self._body(case, dict(case.body))

    def after_call(self, case: Case, response: Response) -> None:
        """Undo what a call did, and see what it did to the live environment."""
        path, status = case.operation.path, response.status_code
        if path == "/envs/create" and status == 201:
            self._close(response.json()["env_id"])
        elif path == "/workers/register" and status == 201:
            said = response.json()
            headers = {"X-Worker-Secret": said["worker_secret"]}
            self._http.post("/workers/deregister", json={"worker_id": said["worker_id"]}, headers=headers)
        elif case.path_parameters.get("env_id") == self._env_id:
            self._note(path.rpartition("/")[2], response)

    def finish(self) -> None:
        """Wait for all that was begun."""
        self._threads.shutdown()

    def _close(self, env_id: str) -> None:
        """Close an environment while the next calls are made up."""
        self._closing.append(self._threads.submit(self._http.post, f"/envs/{env_id}/close"))
        if len(self._closing) > CLOSING:
            assert self._closing.popleft().result().status_code in (200, 410)

    def _may(self, case: Case, location: ParameterLocation) -> bool:
        return _is_right(case, location) and self._random.random() < LIVE_SHARE

    def _note(self, call: str, response: Response) -> None:
        status = response.status_code
        if status in (404, 410) and call == "{env_id}":
            self._env_id = ""
        if call == "close" and status == 200:
            self._env_id = ""
        elif call == "step" and status == 200 and "json" in response.headers["content-type"][0]:
            self._has_ended = response.json()["done"]
        elif call == "step" and status == 409:
            self._has_ended = True

    def _live(self) -> str:
        """Return an environment with a running episode."""
        if not self._env_id:
            made = self._http.post("/envs/create", json={"env_spec": SPEC})
            assert made.status_code == 201, made.text
            self._env_id, self._has_ended = made.json()["env_id"], True
        if self._has_ended:
            assert self._http.post(f"/envs/{self._env_id}/reset").status_code == 200
            self._has_ended = False
        return self._env_id

    def _body(self, case: Case, body: dict[str, Any]) -> dict[str, Any]:
        path, is_right = case.operation.path, _is_right(case, ParameterLocation.BODY)
        if path == "/envs/create" and is_right:
            self._serve_create(body)
        elif path == "/workers/register" and is_right:
            body["url"] = self._worker_url
            if self._random.random() < LIVE_SHARE:
                body["worker_id"] = f"another-{next(self._keys)}"  # than the one that lives
        elif path.endswith("/hand/next"):
            _shorten(body, "wait_s")
        elif path.endswith("/step"):
            body.setdefault("wait_between_actions", LONGEST_S)
            _shorten(body, "wait_between_actions")
            if isinstance(body.get("actions"), list):
                body["actions"] = [_shortened(action) for action in body["actions"]]
        return body

    def _serve_create(self, body: dict[str, Any]) -> None:
        if body.get("runner") is not None:
            body["runner"] = "fake"
        if body.get("env_spec") is not None and self._random.random() < LIVE_SHARE:
            body["env_spec"], body["task_spec"], body["task_id"] = SPEC, None, None


def _is_right(case: Case, location: ParameterLocation) -> bool:
    return case.meta is not None and not case.meta.is_negative_at(location)


def _shorten(body: dict[str, Any], key: str) -> None:
    if (
        isinstance(body.get(key), int | float)
        and not isinstance(body[key], bool)
        and 0 < body[key] <= MAX_WAIT_S
    ):
        body[key] = LONGEST_S


def _shortened(action: Any) -> Any:
    """Return an action whose waits are short; one that says nothing would wait for a second."""
    if not isinstance(action, dict):
        return action
    action = (
        {**action, "time": LONGEST_S}
        if action.get("action") == "wait" and action.get("time") is None
        else dict(action)
    )
    _shorten(action, "time")
    _shorten(action, "seconds")
    return action


class GuessingAdapter(HTTPAdapter):
    """Sends what may bear a wrong token from an address of its own: wrong tokens cost time by address."""

    _guesses = itertools.count()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        takes_token = urlsplit(str(request.url)).path in ("/", "/dashboard", "/dashboard/login")
        if request.headers.get("Authorization") == AUTH["Authorization"] and not takes_token:
            return super().send(request, *args, **kwargs)
        guess = next(self._guesses)
        with _FromAddress(f"127.1.{guess // 250 % 250}.{guess % 250 + 1}") as adapter:
            return adapter.send(request, *args, **kwargs)


class _FromAddress(HTTPAdapter):
    """Connects from one address of this machine."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, source_address=(self._address, 0), **kwargs)

    def __enter__(self) -> _FromAddress:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
