"""The files that deploy a fleet, run for real: each test with its own ports, folders and mark."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from gym_queue.settings import find_token
from tests.acceptance.conftest import place as place

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "deploy"
PROGRAMS = Path(sys.executable).parent
"""Where our own programs, and those of the development tools, are."""


def path_with_programs() -> str:
    """Return a PATH on which this environment's programs come first."""
    return f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"


def need(tool: str) -> str:
    """Return where a program is, of this environment or of the machine; without it the test is skipped, or fails."""
    found = shutil.which(tool, path=path_with_programs())
    if found is None:
        lacking(f"{tool} is not on PATH", tool)
    return str(found)


def lacking(reason: str, tool: str) -> None:
    """Skip the test, or fail it when GYM_QUEUE_REQUIRE names the tool."""
    if tool in os.environ.get("GYM_QUEUE_REQUIRE", "").split(","):
        pytest.fail(f"{reason}, and GYM_QUEUE_REQUIRE names {tool}")
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def health_of(url: str) -> dict[str, Any]:
    """Return what a program says of itself; nothing while it does not answer."""
    try:
        return dict(httpx.get(f"{url}/health", trust_env=False).json())
    except httpx.HTTPError:
        return {}


def workers_of(url: str) -> dict[str, str]:
    """Return the status of each worker of a master by its id; nothing while the master does not answer."""
    bearer = {"Authorization": f"Bearer {find_token()}"}
    try:
        reply = httpx.get(f"{url}/workers/list", headers=bearer, trust_env=False)
    except httpx.HTTPError:
        return {}
    return {worker["worker_id"]: worker["status"] for worker in reply.json().get("workers", [])}


def blocks_of(page: Path, test: str) -> list[str]:
    """Return the blocks of a page that are marked as run by a test module."""
    mark = re.escape(f"<!-- run by tests/deploy/{test} -->")
    return re.findall(rf"{mark}\n```\w*\n(.*?)```", page.read_text(), re.DOTALL)
