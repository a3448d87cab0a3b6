"""A master and its parts, and a browser's view of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import ASGIApp

from gym_queue.master.http import MasterParts
from tests.unit.dashboard.masters import make_parts, master_with_pages


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def parts() -> AsyncIterator[MasterParts]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield make_parts(client)


@pytest.fixture
def app(parts: MasterParts) -> ASGIApp:
    return master_with_pages(parts)


@pytest.fixture
async def browser(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://master.test") as client:
        yield client
