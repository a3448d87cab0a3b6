"""docs/limits.md names the settings there are, with their defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gym_queue.settings import ServerSettings, TlsSettings, WorkerSettings

PAGE = Path(__file__).parents[2] / "docs/limits.md"
ROW = re.compile(r"^\|[^|]*\| `([A-Z_]+)`[^|]*\| ([\d,]+)", re.M)
SHARED = sorted(set(ServerSettings.model_fields) - set(TlsSettings.model_fields))
NEW = (
    *("step_body_mb", "copy_gb", "max_actions", "max_wait_s", "max_frames"),
    *("keep_episodes", "episodes_gb"),
)


def rows() -> dict[str, float]:
    """Return the defaults the page gives, by the setting's name."""
    return {name.lower(): float(value.replace(",", "")) for name, value in ROW.findall(PAGE.read_text())}


@pytest.mark.parametrize("name", [*SHARED, *NEW])
def test_every_limit_is_on_the_page_with_its_default(name: str) -> None:
    assert rows()[name] == WorkerSettings.model_fields[name].default
