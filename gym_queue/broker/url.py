"""Broker URLs: which are ones, and how they may be shown."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

from gym_queue.errors import RequestInvalid

SCHEMES = frozenset({"redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps", "pyamqp"})


def safe_url(url: str) -> str:
    """Return a broker's URL without user, password and options.

    Everything up to the last ``@`` counts as credentials, so that no half of an unquoted password is left.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "<not a URL>"
    place = rest.rpartition("@")[2]
    return f"{scheme}://{re.split(r'[?#]', place)[0]}"


def check_broker_url(url: str) -> None:
    """Refuse what is no broker's URL.

    Raises:
        RequestInvalid: It has no scheme that Celery's transports here know.
    """
    if url.partition("://")[0] not in SCHEMES:
        raise RequestInvalid(
            f"the broker URL {safe_url(url)} is not valid: write redis://host:6379/0 or amqp://user:password@host//"
        )


def is_closed_socket(url: str) -> bool:
    """Whether a broker's URL is a unix socket that this process may not open, as another user's, or that is not there."""
    if url.partition("://")[0] != "redis+socket":
        return False
    return not os.access(unquote(urlsplit(url).path), os.R_OK | os.W_OK)
