"""Asking a model over HTTP: with a deadline, and again where the provider was busy."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers.vlm.backends import ApiCall, Picture, api_of
from gym_queue.verifiers.vlm.settings import ModelSettings

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

REPLY_LIMIT_BYTES = 8 << 20
SHOWN = 300
"""Characters of a provider's own words that an error repeats."""
BUSY = (408, 409, 429)
"""Statuses that pass, besides those from 500 on."""
BACKOFF_MAX_S = 60.0


class _Busy(Exception):
    """A call that may succeed when it is sent again; the reason, and in how many seconds."""


class ModelClient:
    """Asks one model.

    Args:
        settings: Which, and how.
        backoff_s: How long the first retry waits where the provider does not say.
    """

    def __init__(self, settings: ModelSettings, *, backoff_s: float = 1.0) -> None:
        self._settings = settings
        self._backoff_s = backoff_s
        self._api = api_of(settings)
        self._name = f"the model {settings.model} ({settings.backend})"

    def ask(self, prompt: str, pictures: Sequence[Picture], *, timeout_s: float) -> str:
        """Return what the model says.

        Args:
            prompt: The question, after the pictures.
            pictures: In the order that they are spoken of.
            timeout_s: What there is for all tries together; the settings may say less.

        Raises:
            VerifierFailed: There is no answer, or the model refused. The key is not in it.
        """
        limit_s = min(timeout_s, self._settings.timeout)
        call = self._api.call(self._settings, prompt, pictures)
        reply = _run(self._within(call, limit_s))
        try:
            text = self._api.text(reply)
        except VerifierFailed as error:
            raise VerifierFailed(f"{self._name}: {error}") from None
        except (LookupError, TypeError, AttributeError):
            text = ""
        if not isinstance(text, str) or not text.strip():
            raise VerifierFailed(
                f"{self._name} answered what is no message of its API: {json.dumps(reply):.{SHOWN}}"
            )
        return self._hide(text)

    async def _within(self, call: ApiCall, limit_s: float) -> Any:
        last: list[str] = []
        try:
            async with asyncio.timeout(limit_s):
                return await self._send_until_taken(call, last)
        except TimeoutError:
            reason = f"; last, {last[-1]}" if last else ""
            raise VerifierFailed(
                f"{self._name} did not answer within {limit_s:g} s{reason}: raise VLM_TIMEOUT or --verifier-timeout"
            ) from None

    async def _send_until_taken(self, call: ApiCall, last: list[str]) -> Any:
        import httpx  # most environments ask no model

        async with httpx.AsyncClient(timeout=None) as http:  # noqa: S113  the deadline is above
            for attempt in range(self._settings.max_retries + 1):
                try:
                    return await self._send(http, call)
                except _Busy as busy:
                    reason, wait_s = busy.args
                except httpx.HTTPError as error:
                    reason, wait_s = f"it cannot be reached: {self._hide(f'{error!r}')}", None
                except (httpx.InvalidURL, UnicodeError) as error:
                    raise VerifierFailed(
                        f"{self._name} cannot be asked: {type(error).__name__}; check its base_url and key"
                    ) from None
                last.append(reason)
                logger.info("%s: %s", self._name, reason)
                if attempt < self._settings.max_retries:
                    await asyncio.sleep(self._wait_s(attempt) if wait_s is None else wait_s)
        raise VerifierFailed(f"{self._name} did not answer in {len(last)} tries: {last[-1]}")

    def _wait_s(self, attempt: int) -> float:
        """Return a pause that doubles, and that those who wait together do not share."""
        return min(BACKOFF_MAX_S, self._backoff_s * 2.0**attempt) * random.uniform(0.5, 1.0)  # noqa: S311  no secret

    async def _send(self, http: httpx.AsyncClient, call: ApiCall) -> Any:
        async with http.stream("POST", call.url, headers=dict(call.headers), json=call.body) as reply:
            content = bytearray()
            async for part in reply.aiter_bytes():
                content += part
                if len(content) > REPLY_LIMIT_BYTES:
                    raise VerifierFailed(f"{self._name} answered more than {REPLY_LIMIT_BYTES >> 20} MB")
        if reply.status_code == 200:
            return self._parse(bytes(content))
        said = f"it answered {reply.status_code}: {self._hide(_reason(bytes(content)))}"
        if reply.status_code in BUSY or reply.status_code >= 500:
            raise _Busy(said, _retry_after_s(reply.headers.get("retry-after")))
        raise VerifierFailed(f"{self._name} cannot be asked: {said}")

    def _parse(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            shown = self._hide(content[:SHOWN].decode(errors="replace"))
            raise VerifierFailed(f"{self._name} answered what is no JSON: {shown!r}") from None

    def _hide(self, text: str) -> str:
        """Return a text without the key: some servers repeat what they were sent."""
        key = self._settings.api_key.get_secret_value() if self._settings.api_key else ""
        return text.replace(key, "***") if key else text


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return a coroutine's result; the caller's own thread may run a loop already, and may be interrupted."""
    done: Future[Any] = Future()

    def work() -> None:
        try:
            done.set_result(asyncio.run(coroutine))
        except BaseException as error:  # noqa: BLE001  it is the caller's to see
            done.set_exception(error)

    threading.Thread(target=work, name="model", daemon=True).start()
    return done.result()


def _reason(content: bytes) -> str:
    """Return what a refusal says of itself: all three APIs have ``error.message``."""
    try:
        body = json.loads(content)
        said = body["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        said = content.decode(errors="replace")
    return f"{said!s:.{SHOWN}}"


def _retry_after_s(value: str | None) -> float | None:
    """Return the header's seconds; None for its other form, a date."""
    if value is None or not value.strip().isdecimal():
        return None
    return float(value.strip()[:6])
