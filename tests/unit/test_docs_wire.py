"""docs/wire.md says what the programs do: every error code, every call."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp

from gym_queue.errors import error_types
from gym_queue.worker.host import Host
from gym_queue.worker.http import WorkerIdentity, make_worker_app
from gym_queue.worker.live import HostLimits
from tests.unit.dashboard.masters import make_parts, master_with_pages

DOCS = Path(__file__).parents[2] / "docs"
CODE_ROW = re.compile(r"^\| `(\w+)` \| (\d{3}) \| (yes|no) \| .+ \|$", re.MULTILINE)
CALL_ROW = re.compile(r"^\| `(GET|POST|PUT) ([^`?]+)`(?: \*\*\+\*\*)? \| (M W|M|W) \|", re.MULTILINE)


@pytest.fixture(scope="module")
def text() -> str:
    return (DOCS / "wire.md").read_text()


async def schema_of(app: ASGIApp) -> set[str]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


@pytest.fixture(scope="module")
def master_calls() -> set[str]:
    async def ask() -> set[str]:
        async with httpx.AsyncClient() as client:
            return await schema_of(master_with_pages(make_parts(client, token=None)))

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def worker_calls(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    async def ask() -> set[str]:
        host = Host(tmp_path_factory.mktemp("w"), ("fake",), HostLimits(1, 1, 1))
        identity = WorkerIdentity("w", "http://w", None, lambda: "none")
        return await schema_of(make_worker_app(host, identity, token=None))

    return asyncio.run(ask())


def documented(text: str, at: str) -> set[str]:
    return {f"{method} {path}" for method, path, where in CALL_ROW.findall(text) if at in where}


def test_the_table_of_errors_is_the_tree_of_errors(text: str) -> None:
    rows = CODE_ROW.findall(text)
    said = {code: (int(status), retry == "yes") for code, status, retry in rows}

    assert len(rows) == len(said)
    assert said == {code: (kind.status, kind.retryable) for code, kind in error_types().items()}


def test_every_call_that_a_worker_serves_is_documented_and_no_other(
    text: str, worker_calls: set[str]
) -> None:
    assert documented(text, "W") == worker_calls


def test_a_master_answers_or_forwards_what_is_documented_of_it(
    text: str, master_calls: set[str], worker_calls: set[str]
) -> None:
    said = documented(text, "M")

    assert master_calls <= said
    assert said - master_calls <= {call for call in worker_calls if "{env_id}/" in call}
