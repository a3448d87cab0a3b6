"""``report.html``: the report as one file that needs no network. Data travels as JSON, and its script makes text of it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from gym_queue.benchmark.attempt import Attempt
from gym_queue.benchmark.recorder import LOG, TRAJECTORY, VERDICT
from gym_queue.benchmark.report.build import Report, Row
from gym_queue.benchmark.report.steps import read_steps
from gym_queue.benchmark.usage import COST, tokens_of

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("dom.js", "marks.js", "attempt.js", "table.js", "page.js")
STEPS_BYTES = 12_000_000
"""Most that all the steps in the page may take: it has to stay under 20 MB."""
SAID_CHARS = 2000
"""Longest sentence of a verifier or an error in the page."""
_UNSAFE = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
"""What must not stand in a script element as it is."""


def render(report: Report, path: Path) -> str:
    """Return the page.

    Args:
        report: Of the run.
        path: The run's folder, whose trajectories go into the page.
    """
    style = (STATIC / "page.css").read_text(encoding="utf-8")
    script = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{script}\n}})();'
    data, steps = _data(report, path)
    return Template((STATIC / "page.html").read_text(encoding="utf-8")).substitute(
        style=style,
        script=script,
        style_hash=_digest(style),
        script_hash=_digest(script),
        data=_json(data),
        steps="\n".join(
            f'<script type="application/json" id="steps-{at}">{text}</script>' for at, text in steps.items()
        ),
    )


def _data(report: Report, path: Path) -> tuple[dict[str, Any], dict[int, str]]:
    exclude = {"attempts", "by_task"}
    rows, texts, left = [], {}, STEPS_BYTES
    for at, row in enumerate(report.attempts):
        share = left // max(len(report.attempts) - at, 1) * 4  # most take less than their part
        steps, is_whole = (
            read_steps(path / row.folder, max_bytes=min(share, left)) if row.folder else ([], True)
        )
        if steps:
            texts[at] = _json(steps)
            left = max(left - len(texts[at]), 0)
        files = [
            name for name in (TRAJECTORY, VERDICT, LOG) if row.folder and (path / row.folder / name).exists()
        ]
        rows.append({**_row(row), "files": files, "is_cut": not is_whole})
    return {**report.model_dump(mode="json", exclude=exclude), "attempts": rows}, texts


def _row(row: Row) -> dict[str, Any]:
    attempt: Attempt = row.attempt
    fields: Mapping[str, Any] = attempt.model_dump(
        mode="json", exclude={"feedback", "usage", "error", "lost"}
    )
    errors = [{"code": each.code, "message": each.message[:SAID_CHARS]} for each in attempt.lost]
    error = attempt.error and {"code": attempt.error.code, "message": attempt.error.message[:SAID_CHARS]}
    return {
        **fields,
        "feedback": attempt.feedback[:SAID_CHARS],
        "error": error,
        "lost": errors,
        "tokens": tokens_of(attempt),
        "cost_usd": attempt.usage.get(COST),
        "is_scored": attempt.is_scored,
        "difficulty": row.difficulty,
        "tags": row.tags,
        "folder": row.folder,
    }


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).translate(_UNSAFE)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
