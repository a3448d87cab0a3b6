"""What a model's API says went wrong, as errors that say whether another try may help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_queue.errors import AgentFailed, GymQueueError, ModelDenied, ModelUnreachable

DENIED = (401, 402, 403, 404)
"""Statuses that no later try mends: the key, the bill, the rights, the model's name."""
FAILED = 500
_SPENT = ("insufficient_quota", "billing", "credit balance")
"""Words of a 400 or 429 that mean the account is used up, not that it is too fast."""
_STREAMED: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "insufficient_quota": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""An error within a stream, whose status was sent before it → the status that it would have had.

Source: https://docs.claude.com/en/api/errors and https://platform.openai.com/docs/guides/error-codes
"""


class StreamError(Exception):
    """A stream said that it failed.

    Args:
        said: The API's words.
        status: That the error would have had by itself.
    """

    def __init__(self, said: str, status: int = FAILED) -> None:
        super().__init__(said)
        self.status = status


def streamed_error(body: Any) -> StreamError:
    """Return what a stream's error event means; of what is not known, a later try may help.

    Args:
        body: The event, or the error alone.
    """
    names = [_error_in(body).get(name) for name in ("code", "type")]
    status = next((name for name in names if isinstance(name, int)), None)
    named = (_STREAMED[name] for name in names if isinstance(name, str) and name in _STREAMED)
    return StreamError(words_of(body) or "no word why", status or next(named, FAILED))


def words_of(body: Any) -> str | None:
    """Return an API's error as its kind and its words; None of what holds no words."""
    error = _error_in(body)
    kind = next((name for name in (error.get("code"), error.get("type")) if isinstance(name, str)), None)
    message = error.get("message")
    if not isinstance(message, str) or not message:
        return kind
    return f"{kind}: {message}" if kind else message


def _error_in(body: Any) -> dict[str, Any]:
    inner = body.get("error", body) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


def refusal(api: str, model: str, variable: str, *, status: int, said: str) -> GymQueueError:
    """Return the error of a request that an API refused.

    Args:
        api: Which, for people.
        model: The model that was asked.
        variable: The environment's variable that holds the key.
        status: The answer's, of HTTP.
        said: The answer's words, without the key.
    """
    if status in DENIED or (status in (400, 429) and any(word in said.lower() for word in _SPENT)):
        return ModelDenied(
            f"{api} denies {model} ({status}: {said}); see to the key in {variable}, the account's means, the model's "
            "name, and base_url"
        )
    if status in (408, 409, 429) or status >= FAILED:
        return ModelUnreachable(f"{api} is overloaded or fails ({status}: {said}); try later")
    return AgentFailed(f"{api} refused the request ({status}: {said})")
