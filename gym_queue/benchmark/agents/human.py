"""An agent that a person is: what they do on the dashboard's live view is what it does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from pydantic import Field, ValidationError

from gym_queue.benchmark.agents.base import AgentOptions, AgentTask, AgentTurn, EnvPlace
from gym_queue.client.calls import Call, encode
from gym_queue.client.retry import Retries
from gym_queue.client.transport import Transport, check_url, transport_to
from gym_queue.errors import AgentFailed, EnvNotFound, MethodNotAllowed, NotFound, RequestInvalid
from gym_queue.protocol.hand import MAX_TEXT_CHARS, HandAsk, HandInput, HandTold

logger = logging.getLogger(__name__)

POLL_S = 25.0
"""How long one call waits at the master."""
ANSWER_S = 20.0
"""How long it may take beyond that."""
AWAY_S = 300.0
"""How long a master that does not answer is tried again: a restart takes seconds."""


class HumanOptions(AgentOptions):
    """Options of the human agent."""

    timeout_s: float = Field(3600.0, gt=0)
    """Seconds to wait for one input."""
    url: str | None = None
    """Address of the dashboard; none takes the master's own, /dashboard below --remote-url."""


class HumanAgent:
    """Does what a person does on the dashboard's live view, one input a step."""

    Options = HumanOptions
    needs = "--remote-url of a master, and a person at its dashboard, signed in with the cluster's token"
    needs_cluster = True
    wait_between_actions_s = 0.0  # the person has waited between them already

    def __init__(self, options: HumanOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options, self._clock = options, clock
        self._told = HandTold()
        self._took: str | None = None
        self._path = ""
        self._transport: Transport | None = None

    @staticmethod
    def check(options: HumanOptions) -> None:
        """See that the dashboard's address is one.

        Raises:
            RequestInvalid: It is not.
        """
        if options.url is not None:
            page_address(options.url, "none")

    def start(self, task: AgentTask) -> None:
        """Take note of what is to be done, for the person."""
        self._told = HandTold(task_id=task.task_id[:200], task=task.description[:MAX_TEXT_CHARS])

    def located(self, place: EnvPlace) -> str:
        """Return where the environment can be driven, in a line.

        Raises:
            RequestInvalid: It is in this process, where no dashboard shows it.
        """
        if place.remote_url is None:
            raise RequestInvalid(
                "HumanAgent is driven from a cluster's dashboard: give --remote-url, of a master that gym-anything up has started, say"
            )
        url = check_url(place.remote_url)
        self._transport = transport_to(url)
        self._path = f"/api/envs/{quote(place.env_id, safe='')}/hand/next"
        page = page_address(self._options.url or f"{url}/dashboard", place.env_id)
        said = f"{self._told.task_id or place.env_id} waits for you at {page}"
        logger.warning("%s", said)  # what an attempt's log keeps, which goes on when the terminal is gone
        return said

    def act(self, observation: dict[str, Any], *, step: int) -> AgentTurn:  # noqa: ARG002  the person sees it
        """Return what the person did, as soon as they have.

        Raises:
            AgentFailed: They did nothing for too long, or the server knows no such calls.
        """
        self._told = self._told.model_copy(update={"step": step})
        until = self._clock() + self._options.timeout_s
        while (left_s := until - self._clock()) > 0:
            given = self._ask(min(POLL_S, left_s))
            if given is not None:
                self._took = given.id
                self._told = self._told.model_copy(update={"refused": ""})
                return AgentTurn(given.actions, done=given.done, note=given.note)
        raise AgentFailed(
            f"nobody did anything on the dashboard for {self._options.timeout_s:g} s: give more by --agent-arg timeout_s=.."
        )

    def refused(self, error: RequestInvalid) -> None:
        """Tell the person, with the next call, that the input was not carried out."""
        self._told = self._told.model_copy(update={"refused": str(error)[:MAX_TEXT_CHARS]})

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def _ask(self, wait_s: float) -> HandInput | None:
        """Return the next input; None when there was none for so long."""
        assert self._transport is not None  # noqa: S101  located comes before any act
        ask = HandAsk(wait_s=wait_s, took=self._took, told=self._told)
        body = encode(ask.model_dump())
        retries = Retries(AWAY_S, AWAY_S)  # asked again, the same input comes again
        call = Call("POST", self._path, AWAY_S + wait_s + ANSWER_S, retries, body)
        try:
            reply = self._transport.read(call)
            return HandInput.model_validate_json(reply) if reply else None
        except EnvNotFound:
            raise
        except (NotFound, MethodNotAllowed) as error:
            raise AgentFailed(
                "the server at --remote-url keeps no input of people: give a master's URL, and not a worker's"
            ) from error
        except ValidationError as error:
            raise AgentFailed(f"the master's answer is no input: {error}") from error


def page_address(dashboard: str, env_id: str) -> str:
    """Return the address of an environment's page, ready to drive it.

    Args:
        dashboard: Of the dashboard; what its query has besides (``master=1``) is kept.
        env_id: The environment.

    Raises:
        RequestInvalid: The dashboard's is no http address.
    """
    try:
        parts = urlsplit(dashboard)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        is_valid = False
    if not is_valid:
        raise RequestInvalid(
            f"the dashboard's address {dashboard!r} is not valid: write http://host:5800/dashboard"
        )
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("view", "env", "token")]
    query = urlencode([("view", "environment"), ("env", env_id), ("drive", "1"), *kept])
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/dashboard", query, ""))
