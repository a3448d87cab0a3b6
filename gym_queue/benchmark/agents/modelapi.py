"""A model's API by its vendor's own package: keys, retries, and errors that say whether another try may help."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from pydantic import Field, SecretStr

from gym_queue.benchmark.agents.base import AgentOptions
from gym_queue.errors import (
    AgentFailed,
    BadReply,
    GymQueueError,
    ModelDenied,
    ModelUnreachable,
    RequestInvalid,
)

EXTRA = "agents"
DENIED = (401, 402, 403, 404)
"""Statuses that no later try mends: the key, the bill, the rights, the model's name."""
_SPENT = ("insufficient_quota", "billing", "credit balance")
"""Words of a 400 or 429 that mean the account is used up, not that it is too fast."""
SHOWN = 500
"""Characters of a foreign error that are shown."""


class ModelOptions(AgentOptions):
    """Options of every agent that asks a model."""

    model: str = Field(min_length=1)
    """The model's name, as its API knows it."""
    base_url: str | None = None
    """Where the API is served; none is the vendor's own."""
    api_key: SecretStr | None = None
    """The API's key; better given by the environment, where no list of processes shows it."""
    max_tokens: int = Field(8192, ge=1)
    """Most tokens of one answer, thinking included."""
    temperature: float | None = Field(None, ge=0, le=2)
    """How much chance there is in answers; none leaves it to the model, and some take no other."""
    images: int = Field(8, ge=1, le=100)
    """Most screenshots that are sent again; older ones become a line of text."""
    max_image_edge_px: int = Field(1568, ge=64, le=8192)
    """Longest edge of a screenshot as it is sent: larger screens are scaled down, smaller ones never up."""
    max_image_pixels: int = Field(1_150_000, ge=4096)
    """Most pixels of a screenshot as it is sent."""
    system: str = ""
    """Added to what the model is told before the task."""
    timeout_s: float = Field(600.0, gt=0)
    """Longest that one answer may take."""
    max_retries: int = Field(4, ge=0, le=20)
    """Further tries of a request that was rate-limited, overloaded or lost, with growing pauses."""


class ModelApi:
    """One attempt's connection to an API. Not thread-safe.

    Args:
        package: The vendor's package: ``anthropic`` or ``openai``; its clients are alike.
        client: Name of the client's class in it.
        options: Key, place, limits.
        key_variable: The environment's variable that holds the key.

    Raises:
        RequestInvalid: The package or the key is missing.
    """

    def __init__(self, package: str, client: str, options: ModelOptions, *, key_variable: str) -> None:
        check_needs(package, options, key_variable=key_variable)
        self._package = importlib.import_module(package)
        self._options = options
        self._key = _key(options, key_variable)
        self._variable = key_variable
        limits: dict[str, Any] = {"timeout": options.timeout_s, "max_retries": options.max_retries}
        try:
            self._client = getattr(self._package, client)(
                api_key=self._key, base_url=options.base_url, **limits
            )
        except (ValueError, TypeError, self._package.APIError) as error:
            raise RequestInvalid(f"the model's API cannot be used: {self._shown(error)}") from None

    def ask(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        """Return the API's reply.

        Args:
            path: Below the base URL.
            body: The request, as JSON.
            headers: Beside the package's own.

        Raises:
            ModelDenied: The key, the account or the model's name is not accepted: the run cannot go on.
            ModelUnreachable: Nothing answers, in time or at all, even after retries.
            AgentFailed: The API refuses this request.
            BadReply: The reply is not a JSON object.
        """
        sdk = self._package
        try:
            reply = self._client.post(path, cast_to=object, body=body, options={"headers": dict(headers)})
        except sdk.APIStatusError as error:
            raise self._refused(error.status_code, error) from None
        except sdk.APITimeoutError:
            raise ModelUnreachable(
                f"{self._name} did not answer within {self._options.timeout_s:g} s: raise timeout_s, or try later"
            ) from None
        except sdk.APIConnectionError as error:
            cause = error.__cause__ or error
            raise ModelUnreachable(f"{self._name} cannot be reached: {self._shown(cause)}") from None
        except (sdk.APIError, ValueError) as error:
            raise BadReply(
                f"{self._name} answered something that is not of its API: {self._shown(error)}"
            ) from None
        if not isinstance(reply, dict):
            raise BadReply(f"{self._name} answered something that is not a JSON object")
        return reply

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def _name(self) -> str:
        return f"the model's API at {self._client.base_url}"

    def _refused(self, status: int, error: Exception) -> GymQueueError:
        said = self._shown(error)
        if status in DENIED or (status in (400, 429) and any(word in said.lower() for word in _SPENT)):
            return ModelDenied(
                f"{self._name} denies {self._options.model} ({status}: {said}); see to the key in {self._variable}, "
                "the account's means, and the model's name"
            )
        if status in (408, 409, 429) or status >= 500:
            return ModelUnreachable(f"{self._name} is overloaded or fails ({status}: {said}); try later")
        return AgentFailed(f"{self._name} refused the request ({status}: {said})")

    def _shown(self, error: BaseException) -> str:
        """Return an error's words on one line, without the key."""
        text = " ".join(str(error).split()) or type(error).__name__
        return text.replace(self._key, "***")[:SHOWN]


def check_needs(package: str, options: ModelOptions, *, key_variable: str) -> None:
    """See that a model can be asked at all.

    Raises:
        RequestInvalid: The package or the key is missing.
    """
    if find_spec(package) is None:
        raise RequestInvalid(f"the package {package} is not installed: pip install 'gym-queue[{EXTRA}]'")
    if not _key(options, key_variable):
        raise RequestInvalid(
            f"there is no key for the model's API: set {key_variable}, or give the option api_key"
        )


def _key(options: ModelOptions, variable: str) -> str:
    key = os.environ.get(variable, "") if options.api_key is None else options.api_key.get_secret_value()
    return key.strip()


def count(counts: Any, name: str) -> int:
    """Return a number of a reply's usage; 0 where an API does not say."""
    found = counts.get(name) if isinstance(counts, dict) else None
    return found if isinstance(found, int) else 0
