"""A model's API by its vendor's own package, which sends, retries, reads streams and keeps the connections.

Requests and answers are the API's own JSON, not the package's classes: one way serves both vendors, and what is newer
than the package (a tool, a kind of block) passes both ways unchanged.
"""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from gym_queue.benchmark.agents.modelerrors import StreamError, refusal, streamed_error, words_of
from gym_queue.benchmark.agents.modeloptions import ModelOptions
from gym_queue.benchmark.agents.vendor import Vendor
from gym_queue.errors import BadReply, GymQueueError, ModelUnreachable, RequestInvalid

SHOWN = 500
"""Characters of a foreign error that are shown."""
SECRET = 8
"""Characters of the shortest key that can be one."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 8.0
"""Before a broken stream is asked for again; as the packages pause before a request."""
HTTP_PACKAGES = ("httpx", "httpx2")
"""What the vendors' packages send by; one of them lets these errors through while it reads a stream."""

Join = Callable[[Iterator[dict[str, Any]]], dict[str, Any]]
"""Puts a stream's events together to the answer that would have come at once; raises StreamError."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an API is asked."""

    path: str
    """Below the base URL."""
    body: Mapping[str, Any]
    join: Join
    """For an answer that comes piece by piece."""
    headers: Mapping[str, str]
    """Beside the package's own."""
    streamed: Mapping[str, Any]
    """Added to the body of a request whose answer is streamed."""


class _Broken(Exception):
    """A stream broke off; another try may help.

    Args:
        error: What it comes to when none does.
    """

    def __init__(self, error: ModelUnreachable) -> None:
        super().__init__(error)
        self.error = error


class ModelApi:
    """One attempt's connection to an API. Not thread-safe.

    Args:
        vendor: Whose package; its clients are alike.
        options: Key, place, limits.

    Raises:
        RequestInvalid: The package or the key is missing.
    """

    def __init__(self, vendor: Vendor, options: ModelOptions) -> None:
        vendor.check(options)
        self._sdk = importlib.import_module(vendor.package)
        self._vendor, self._options, self._key = vendor, options, vendor.key(options)
        http = [importlib.import_module(name) for name in HTTP_PACKAGES if find_spec(name)]
        self._lost = tuple(package.TransportError for package in http)
        self._late = (self._sdk.APITimeoutError, *(package.TimeoutException for package in http))
        limits: dict[str, Any] = {"timeout": options.timeout_s, "max_retries": options.max_retries}
        try:
            self._client = getattr(self._sdk, vendor.client)(
                api_key=self._key, base_url=options.base_url, **limits
            )
        except (ValueError, TypeError, self._sdk.APIError) as error:
            raise RequestInvalid(f"the model's API cannot be used: {self._shown(error)}") from None

    def ask(self, request: Request) -> dict[str, Any]:
        """Return the API's answer.

        Raises:
            ModelDenied: The key, the account or the model's name is not accepted: the run cannot go on.
            ModelUnreachable: Nothing answers, in time or at all, even after retries.
            AgentFailed: The API refuses this request.
            BadReply: The reply is not a JSON object.
        """
        if self._options.streams:
            return self._stream(request)
        try:
            reply = self._post(request)
        except (self._sdk.APIError, ValueError) as error:
            raise self._translated(error) from None
        if not isinstance(reply, dict):
            raise BadReply(f"{self._name} answered something that is not a JSON object")
        return reply

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _stream(self, request: Request) -> dict[str, Any]:
        """Return a streamed answer; one that breaks off is asked for again, whole."""
        for pause_s in self._pauses():
            try:
                return self._read(self._open(request), request.join)
            except _Broken:
                time.sleep(pause_s)
        try:
            return self._read(self._open(request), request.join)
        except _Broken as broken:
            raise broken.error from None

    def _open(self, request: Request) -> Any:
        try:
            return self._post(request, stream=True, stream_cls=self._sdk.Stream[object])
        except (self._sdk.APIError, ValueError) as error:
            raise self._translated(error) from None  # the package has tried again by itself

    def _read(self, events: Any, join: Join) -> dict[str, Any]:
        with events:
            try:
                return join(_objects(events))
            except (self._sdk.APIError, StreamError, ValueError, *self._lost) as error:
                found = self._translated(error)
                raise (_Broken(found) if isinstance(found, ModelUnreachable) else found) from None
            except (KeyError, IndexError, TypeError, AttributeError) as error:
                raise BadReply(f"{self._name} streamed something that is not of its API: {error!r}") from None

    def _post(self, request: Request, **more: Any) -> Any:
        body = {**request.body, **(request.streamed if more else {})}
        options = {"headers": dict(request.headers)}
        return self._client.post(request.path, cast_to=object, body=body, options=options, **more)

    def _pauses(self) -> Iterator[float]:
        """Yield how long to wait before each further try."""
        for retry in range(self._options.max_retries):
            longest = min(LAST_PAUSE_S, FIRST_PAUSE_S * 2**retry)
            yield longest * random.uniform(0.75, 1)  # noqa: S311  that tries do not come in step, not a secret

    @property
    def _name(self) -> str:
        return f"the model's API at {self._client.base_url}"

    def _translated(self, error: Exception) -> GymQueueError:
        """Return what an error of the package, or of a stream, is here."""
        sdk = self._sdk
        if isinstance(error, sdk.APIStatusError) and error.status_code >= 300:
            return self._refusal(error.status_code, error)
        if isinstance(error, self._late):
            return ModelUnreachable(
                f"{self._name} did not answer within {self._options.timeout_s:g} s: raise timeout_s, or try later"
            )
        if isinstance(error, (sdk.APIConnectionError, *self._lost)):
            return ModelUnreachable(
                f"{self._name} cannot be reached: {self._shown(error.__cause__ or error)}"
            )
        if isinstance(error, StreamError):
            return self._refusal(error.status, error)
        if isinstance(error, sdk.APIError) and isinstance(error.body, dict):  # an error event within a stream
            found = streamed_error(error.body)
            return self._refusal(found.status, found)
        return BadReply(f"{self._name} answered something that is not of its API: {self._shown(error)}")

    def _refusal(self, status: int, error: Exception) -> GymQueueError:
        variable, model = self._vendor.key_variable, self._options.model
        said = words_of(getattr(error, "body", None))
        return refusal(self._name, model, variable, status=status, said=self._shown(said or error))

    def _shown(self, error: BaseException | str) -> str:
        """Return an error's words on one line, without the key."""
        text = " ".join(str(error).split()) or type(error).__name__
        is_secret = len(self._key) >= SECRET  # "none", for a server without keys, is a word of many sentences
        return (text.replace(self._key, "***") if is_secret else text)[:SHOWN]


def count(counts: Any, name: str) -> int:
    """Return a number of a reply's usage; 0 where an API does not say."""
    found = counts.get(name) if isinstance(counts, dict) else None
    return found if isinstance(found, int) else 0


def _objects(events: Any) -> Iterator[dict[str, Any]]:
    return (event for event in events if isinstance(event, dict))
