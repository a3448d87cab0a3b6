"""What the providers' HTTP APIs take and give: requests made, replies read.

https://docs.anthropic.com/en/api/messages · https://platform.openai.com/docs/api-reference/chat ·
https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers.vlm.settings import ModelSettings

ANTHROPIC_VERSION = "2023-06-01"


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded image."""

    media_type: str
    """``image/png`` or ``image/jpeg``."""
    data: bytes

    @property
    def base64(self) -> str:
        """Its bytes as JSON takes them."""
        return base64.b64encode(self.data).decode()


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A POST of JSON."""

    url: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class Api(Protocol):
    """One provider's API."""

    def call(self, settings: ModelSettings, prompt: str, pictures: Sequence[Picture]) -> ApiCall:
        """Return the request that asks a model about pictures, which come before the prompt."""

    def text(self, reply: Any) -> str:
        """Return what the model said.

        Raises:
            VerifierFailed: It refused, or was cut short.
            LookupError, TypeError, AttributeError: The reply has another shape.
        """


def api_of(settings: ModelSettings) -> Api:
    """Return the API that a backend speaks."""
    if settings.backend == "anthropic":
        return Anthropic()
    return Gemini() if settings.backend == "gemini" else OpenAi()


class Anthropic:
    """The Messages API."""

    def call(self, settings: ModelSettings, prompt: str, pictures: Sequence[Picture]) -> ApiCall:
        """Return a call of ``/v1/messages``."""
        images = [
            {
                "type": "image",
                "source": {"type": "base64", "media_type": each.media_type, "data": each.base64},
            }
            for each in pictures
        ]
        content = [*images, {"type": "text", "text": prompt}]
        return ApiCall(
            _address(settings, "https://api.anthropic.com", "/v1/messages"),
            {"x-api-key": _key(settings), "anthropic-version": ANTHROPIC_VERSION},
            {
                "model": settings.model,
                "max_tokens": settings.max_tokens,
                "messages": [{"role": "user", "content": content}],
                **_given(temperature=settings.temperature, top_p=settings.top_p),
            },
        )

    def text(self, reply: Any) -> str:
        """Return the text blocks' text."""
        _check_end(reply.get("stop_reason"), refused=("refusal",), cut=("max_tokens",))
        return "".join(block["text"] for block in reply["content"] if block["type"] == "text")


class OpenAi:
    """The chat completions API, which many local servers speak as well."""

    def call(self, settings: ModelSettings, prompt: str, pictures: Sequence[Picture]) -> ApiCall:
        """Return a call of ``/chat/completions``."""
        images = [
            {"type": "image_url", "image_url": {"url": f"data:{each.media_type};base64,{each.base64}"}}
            for each in pictures
        ]
        content = [*images, {"type": "text", "text": prompt}]
        limit = "max_completion_tokens" if settings.backend == "openai" else "max_tokens"
        key = _key(settings)
        return ApiCall(
            _address(settings, "https://api.openai.com/v1", "/chat/completions"),
            {"Authorization": f"Bearer {key}"} if key else {},
            {
                "model": settings.model,
                limit: settings.max_tokens,
                "messages": [{"role": "user", "content": content}],
                **_given(temperature=settings.temperature, top_p=settings.top_p),
            },
        )

    def text(self, reply: Any) -> str:
        """Return the first choice's text."""
        choice = reply["choices"][0]
        if refusal := choice["message"].get("refusal"):
            raise VerifierFailed(f"the model refused: {refusal!s:.500}")
        _check_end(choice.get("finish_reason"), refused=("content_filter",), cut=("length",))
        text: str = choice["message"]["content"]
        return text


class Gemini:
    """The generateContent API."""

    def call(self, settings: ModelSettings, prompt: str, pictures: Sequence[Picture]) -> ApiCall:
        """Return a call of ``/models/<model>:generateContent``."""
        parts: list[dict[str, Any]] = [
            {"inlineData": {"mimeType": each.media_type, "data": each.base64}} for each in pictures
        ]
        name = quote(settings.model.removeprefix("models/"), safe="")
        limits = _given(
            maxOutputTokens=settings.max_tokens, temperature=settings.temperature, topP=settings.top_p
        )
        return ApiCall(
            _address(
                settings,
                "https://generativelanguage.googleapis.com/v1beta",
                f"/models/{name}:generateContent",
            ),
            {"x-goog-api-key": _key(settings)},
            {
                "contents": [{"role": "user", "parts": [*parts, {"text": prompt}]}],
                "generationConfig": limits,
            },
        )

    def text(self, reply: Any) -> str:
        """Return the first candidate's text, without its thoughts."""
        if reason := reply.get("promptFeedback", {}).get("blockReason"):
            raise VerifierFailed(f"the model refused: its prompt was blocked for {reason!s:.100}")
        candidate = reply["candidates"][0]
        ended = candidate.get("finishReason")
        _check_end(
            ended,
            refused=("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"),
            cut=("MAX_TOKENS",),
        )
        parts = candidate["content"]["parts"]
        return "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))


def _address(settings: ModelSettings, default: str, path: str) -> str:
    return (settings.base_url or default).rstrip("/") + path


def _key(settings: ModelSettings) -> str:
    return settings.api_key.get_secret_value() if settings.api_key else ""


def _given(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _check_end(reason: object, *, refused: Sequence[str], cut: Sequence[str]) -> None:
    if reason in refused:
        raise VerifierFailed(f"the model refused to answer ({reason}): ask another")
    if reason in cut:
        raise VerifierFailed(f"the model's answer was cut short ({reason}): raise max_tokens")
