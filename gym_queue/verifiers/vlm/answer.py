"""JSON in what a model said."""

from __future__ import annotations

import json
import re
from typing import Any

FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)


def find_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that a text is, or has in a fence, or between other words; None without one."""
    candidates = [text, *FENCED.findall(text), text[text.find("{") : text.rfind("}") + 1]]
    for candidate in candidates:
        try:
            found = json.loads(candidate, parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
