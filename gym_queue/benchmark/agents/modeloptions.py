"""Options of every agent that asks a model: where, how much, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, NonNegativeFloat, SecretStr, field_validator, model_validator

from gym_queue.benchmark.agents.base import AgentOptions

LONG_TOKENS = 21_333
"""Answers that may be longer are streamed: their vendor's package takes them for more than ten minutes, and waits that
long over a silent connection are cut on the way. Source: anthropic 2.12, _calculate_nonstreaming_timeout."""
MILLION = 1_000_000


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
    stream: bool | None = None
    """Have answers sent piece by piece; none does so with more than 21333 max_tokens."""
    images: int = Field(8, ge=1, le=100)
    """Most screenshots that are sent again; older ones become a line of text."""
    max_image_edge_px: int = Field(1568, ge=64, le=8192)
    """Longest edge of a screenshot as it is sent: larger screens are scaled down, smaller ones never up."""
    max_image_pixels: int = Field(1_150_000, ge=4096)
    """Most pixels of a screenshot as it is sent."""
    system: str = ""
    """Added to what the model is told before the task."""
    timeout_s: float = Field(600.0, gt=0)
    """Longest silence of the API: until it answers, or between two pieces of a streamed answer."""
    max_retries: int = Field(4, ge=0, le=20)
    """Further tries of a request that was rate-limited, overloaded or lost, with growing pauses."""
    max_corrections: int = Field(5, ge=0, le=100)
    """Answers in a row of which nothing could be done, each told to the model, before the attempt has failed."""
    input_price: NonNegativeFloat | None = None
    """USD for a million tokens that are read anew; with output_price, for the cost in reports."""
    output_price: NonNegativeFloat | None = None
    """USD for a million tokens that are written."""
    cache_read_price: NonNegativeFloat | None = None
    """USD for a million tokens that are read from the prompt cache; none is input_price."""
    cache_write_price: NonNegativeFloat | None = None
    """USD for a million tokens that are written to the prompt cache; none is input_price."""

    @property
    def streams(self) -> bool:
        """Whether answers are sent piece by piece."""
        return self.max_tokens > LONG_TOKENS if self.stream is None else self.stream

    def cost_usd(self, tokens: Mapping[str, int]) -> float | None:
        """Return what tokens cost.

        Args:
            tokens: By kind, as an agent's ``usage`` names them.

        Returns:
            USD; None without prices.
        """
        if self.input_price is None or self.output_price is None:
            return None
        prices = {
            "input_tokens": self.input_price,
            "output_tokens": self.output_price,
            "cache_read_tokens": self.cache_read_price,
            "cache_write_tokens": self.cache_write_price,
        }
        dear = (
            tokens.get(kind, 0) * (self.input_price if price is None else price)
            for kind, price in prices.items()
        )
        return sum(dear) / MILLION

    @field_validator("base_url")
    @classmethod
    def _base_url_is_one(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it must be a URL such as http://localhost:8000/v1")
        if parts.username is not None or parts.password is not None:
            raise ValueError("it must hold no user or password: give api_key")
        return url

    @model_validator(mode="after")
    def _prices_are_complete(self) -> Self:
        if (self.input_price is None) != (self.output_price is None):
            raise ValueError("input_price and output_price go together")
        if self.input_price is None and (self.cache_read_price, self.cache_write_price) != (None, None):
            raise ValueError("cache prices go with input_price and output_price")
        return self
