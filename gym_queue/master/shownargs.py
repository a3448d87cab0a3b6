"""A create's arguments as Celery's events, and thereby all who watch the broker, may see them: no secrets, short."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gym_queue.protocol.sessions import CreateRequest
from gym_queue.stats.redaction import redact

SHOWN = (
    *("env_dir", "task_id", "benchmark", "env_name", "task_digest", "runner", "fast_io"),
    *("priority", "queue_timeout_s", "lease_s", "idle_timeout_s", "metadata"),
)
SHOWN_OF_SPEC = ("id", "version", "runner", "base", "image")
"""Where it is a short text; the rest may hold passwords."""
SPEC_TEXT_CHARS = 200
MOST_CHARS = 4096


def shown_arguments(request: CreateRequest) -> str:
    """Return a create's arguments as JSON, without what may be secret, and cut."""
    given = request.model_dump(mode="json", include=request.model_fields_set)
    shown = {name: given[name] for name in SHOWN if given.get(name) not in (None, {}, False)}
    for name in ("env_spec", "task_spec"):
        if isinstance(given.get(name), Mapping):
            shown[name] = _short(given[name])
    if given.get("verifier_env"):
        shown["verifier_env"] = f"({len(given['verifier_env'])} hidden)"
    return redact(json.dumps(shown, ensure_ascii=False))[:MOST_CHARS]


def _short(spec: Mapping[str, Any]) -> dict[str, str]:
    shown = {name: spec[name][:SPEC_TEXT_CHARS] for name in SHOWN_OF_SPEC if isinstance(spec.get(name), str)}
    more = len(spec) - len(shown)
    return shown | ({"..": f"{more} more"} if more else {})
