"""Who may call what: the cluster token all, the worker token what workers say, a named token its own environments."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from starlette.types import ASGIApp, Receive, Scope, Send

from gym_queue.errors import Forbidden, QuotaExceeded, Unauthorized
from gym_queue.master.ownership import Ownership
from gym_queue.master.tokens import Grant, NamedTokens
from gym_queue.protocol.sessions import CreateRequest
from gym_queue.web.attempts import Attempts
from gym_queue.web.auth import given_token, same_token, wrong_token
from gym_queue.web.errors import error_reply
from gym_queue.web.rotation import RotatingToken

logger = logging.getLogger(__name__)

FOLLOW_S = 0.5
"""How often the files of tokens are looked at."""
WORKER_CALLS = frozenset({"/workers/register", "/workers/heartbeat", "/workers/deregister", "/workers/drain"})
CLIENT_CALLS = frozenset({"/envs/create", "/envs/list", "/queue"})
"""Calls of a named client about itself, besides those of its environments."""
METRICS_CALLS = frozenset({"/metrics"})
HAND = re.compile(r"/api(/envs/[^/]+/hand)(?:/next)?")
"""Calls of an environment that the master answers itself."""


class Role(StrEnum):
    """What a token is."""

    CLUSTER = "cluster"  # the operator's, and everybody's where there is no other: opens all
    WORKER = "worker"  # speaks for workers
    CLIENT = "client"  # a named one: creates, and calls what it created
    METRICS = "metrics"  # a monitor's: reads numbers


ANYBODYS = frozenset({"/openapi.json", "/api/me"})
"""Calls of workers and clients alike."""
OPENS = {
    Role.WORKER: WORKER_CALLS | ANYBODYS,
    Role.CLIENT: CLIENT_CALLS | ANYBODYS,
    Role.METRICS: METRICS_CALLS | {"/api/me"},
}
"""Calls of each but the operator, besides those of a client's own environments."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request."""

    role: Role
    grant: Grant | None = None
    """Of a named client."""

    @property
    def name(self) -> str | None:
        """A named client's name."""
        return None if self.grant is None else self.grant.name


OPERATOR = Caller(Role.CLUSTER)


class Keyring:
    """Tells who bears a token.

    Args:
        cluster: The cluster token.
        worker_token: What workers bear; None is the cluster token.
        metrics_token: What monitors bear; None is the cluster token.
        named: The named clients' tokens.
        attempts: Counts those who guess.
        wall: Unix seconds.
    """

    def __init__(
        self,
        cluster: RotatingToken,
        *,
        worker_token: str | None = None,
        metrics_token: str | None = None,
        named: NamedTokens | None = None,
        attempts: Attempts | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.cluster = cluster
        self.attempts = attempts or Attempts()
        self._worker_token, self._metrics_token = worker_token, metrics_token
        self._named = named or NamedTokens(None)
        self._wall = wall

    @property
    def fleet_token(self) -> str:
        """What the master and its workers show one another."""
        return self._worker_token or self.cluster.current

    def who(self, token: str) -> Caller:
        """Return who bears a token.

        Raises:
            Unauthorized: Nobody, or one whose token has expired.
        """
        if self.cluster.opens(token):
            return OPERATOR
        if self._worker_token is not None and same_token(token, self._worker_token):
            return Caller(Role.WORKER)
        if self._metrics_token is not None and same_token(token, self._metrics_token):
            return Caller(Role.METRICS)
        grant = self._named.find(token)
        if grant is None:
            raise wrong_token(token)
        if grant.has_expired(self._wall()):
            raise Unauthorized(
                f"the token named {grant.name} has expired: ask the operator for a new one (gym-anything token create)"
            )
        return Caller(Role.CLIENT, grant)

    async def follow(self, on_rotated: Callable[[], None]) -> None:
        """Look for changes of the files for ever, never on the loop; tell of a new cluster token."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            try:
                if await asyncio.to_thread(self.refresh):
                    on_rotated()
            except Exception:
                logger.exception(
                    "the tokens could not be looked at, which is a bug; the next look comes all the same"
                )

    def refresh(self) -> bool:
        """Take up what has changed in the files; return whether the cluster token has."""
        self._named.refresh()
        return self.cluster.refresh()


class Access:
    """Decides over requests.

    Args:
        keys: Who bears which token; None lets everybody do all.
        ownership: Whose environments are.
    """

    def __init__(self, keys: Keyring | None, ownership: Ownership) -> None:
        self._keys, self.ownership = keys, ownership
        self.attempts = Attempts() if keys is None else keys.attempts

    def who(self, token: str | None) -> Caller:
        """Return who makes a request.

        Raises:
            Unauthorized: It has no token, or a wrong one.
        """
        if self._keys is None:
            return OPERATOR
        if token is None:
            raise wrong_token(None)
        return self._keys.who(token)

    def opens_env(self, token: str, env_id: str) -> bool:
        """Return whether a token opens an environment's calls."""
        try:
            caller = self.who(token)
        except Unauthorized:
            return False
        return caller.role is Role.CLUSTER or (
            caller.role is Role.CLIENT and self.ownership.owner(env_id) == caller.name
        )

    def check(self, caller: Caller, path: str) -> None:
        """Refuse a call that is not for this caller.

        Args:
            caller: Who makes it.
            path: As the app routes it. What is in no table is the cluster token's alone.

        Raises:
            Forbidden: It is not.
        """
        if caller.role is Role.CLUSTER or path in OPENS[caller.role]:
            return
        if caller.role is Role.WORKER:
            raise Forbidden(
                f"{path[:200]} is not a worker's call: use the cluster token, or a named client's"
            )
        if caller.role is Role.METRICS:
            raise Forbidden(f"{path[:200]} is not for the metrics token, which reads /metrics alone")
        self._check_own(caller, path)

    @contextmanager
    def creating(self, caller: Caller, request: CreateRequest) -> Iterator[None]:
        """Hold a place of the caller's quota while a create is being answered.

        Args:
            caller: Who asks.
            request: With its environment's id.

        Raises:
            Forbidden: The priority is above what the token allows, or the id is of somebody else's environment.
            QuotaExceeded: The caller has as many environments as it may.
        """
        env_id, owner = str(request.env_id), self.ownership.owner(str(request.env_id))
        lives = self.ownership.lives(env_id)
        if caller.grant is not None:
            self._check_quota(caller.grant, request, is_new=not (lives and owner == caller.name))
            if lives and owner != caller.name:
                raise _not_yours(env_id)
        with self.ownership.asking(env_id, owner if lives else caller.name):
            yield

    def _check_own(self, caller: Caller, path: str) -> None:
        hand = HAND.fullmatch(path)
        own: str = hand[1] if hand else path
        _, top, env_id, *_ = (*own.split("/"), "", "")
        if top != "envs" or not env_id:
            raise Forbidden(
                f"{path[:200]} is the operator's: a named token creates environments and calls its own; use the cluster token"
            )
        if self.ownership.owner(env_id) != caller.name and self.ownership.is_known(env_id):
            raise _not_yours(env_id)

    def _check_quota(self, grant: Grant, request: CreateRequest, *, is_new: bool) -> None:
        if request.priority > grant.priority_max:
            raise Forbidden(
                f"priority {request.priority} is above the {grant.priority_max} that the token named {grant.name} allows: send {grant.priority_max} or less",
                {"priority_max": grant.priority_max},
            )
        if is_new and grant.max_envs is not None and self.ownership.count(grant.name) >= grant.max_envs:
            raise QuotaExceeded(
                f"the token named {grant.name} allows {grant.max_envs} environments at once, and has them: close one, or ask the operator for more",
                {"max_envs": grant.max_envs},
            )


class AccessMiddleware:
    """Answers 401 to whoever has no right token, 403 to whom the call is not for; puts the caller in the scope.

    Args:
        app: What is behind it.
        access: Decides.
        open_paths: Paths that need no token.
    """

    def __init__(self, app: ASGIApp, access: Access, *, open_paths: Collection[str] = ("/health",)) -> None:
        self._app, self._access, self._open_paths = app, access, frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        try:
            caller = self._access.who(given_token(scope))
            self._access.check(caller, scope["path"])
        except (Unauthorized, Forbidden) as error:
            await error_reply(error, scope.get("request_id"))(scope, receive, send)
            return
        scope["caller"] = caller
        await self._app(scope, receive, send)


def _not_yours(env_id: str) -> Forbidden:
    return Forbidden(
        f"environment {env_id[:128]} is not of this token: use the token that created it, or the cluster token"
    )
