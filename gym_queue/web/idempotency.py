"""The key by which a client names a call, so that it can be repeated."""

from __future__ import annotations

import re
import uuid

from fastapi import Request

from gym_queue.errors import RequestInvalid

HEADER = "idempotency-key"
_KEY = re.compile(r"[!-~]{1,128}")
_NAMESPACE = uuid.UUID("6f5b3f0e-41a7-4f0c-9d3b-0c6f0f1e7a52")
"""Of ids that are made from keys."""


def key_of(http: Request) -> str | None:
    """Return a call's key; None when it bears none.

    Raises:
        RequestInvalid: The key is not one.
    """
    key = http.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise RequestInvalid("the Idempotency-Key is not 1 to 128 visible ASCII characters: send a UUID")
    return key


def id_for(key: str | None, *, owner: str | None) -> str:
    """Return the id for what a call creates: the same whenever its client repeats it, and a new one without a key.

    Args:
        key: The call's key.
        owner: Who makes the call; the keys of others are others.
    """
    return str(uuid.uuid4() if key is None else uuid.uuid5(_NAMESPACE, f"{owner or ''} {key}"))
