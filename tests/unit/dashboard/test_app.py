from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
import pytest

from gym_queue.dashboard.app import READ_PATHS, MasterReader, make_dashboard_app
from gym_queue.web.server import HttpServer, bind
from tests.unit.dashboard.masters import TOKEN

pytestmark = pytest.mark.anyio

ACCESS = {"Authorization": "Bearer its-own"}


@asynccontextmanager
async def dashboard_of(master_url: str, *, token: str | None = TOKEN):
    """A browser on a standalone dashboard of the master at ``master_url``."""
    master = MasterReader(master_url, token)
    transport = httpx.ASGITransport(make_dashboard_app(master, access_token="its-own"))
    async with httpx.AsyncClient(transport=transport, base_url="http://dashboard.test") as browser:
        yield browser
    await master.close()


@pytest.fixture
async def master_url(app):
    bound = bind("127.0.0.1", 0)
    server = HttpServer(app, bound)
    await server.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    await server.stop()


@pytest.fixture
def nobodys_url():
    bound = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    bound.close()
    return url


async def test_it_shows_what_the_master_answers(master_url):
    async with dashboard_of(master_url + "/") as browser, httpx.AsyncClient(trust_env=False) as direct:
        shown = await browser.get("/envs/list", headers=ACCESS)
        told = await direct.get(master_url + "/envs/list", headers={"Authorization": f"Bearer {TOKEN}"})
        assert shown.json() == told.json()
        assert shown.headers["x-gym-queue-master"] == master_url
        assert [(await browser.get(path, headers=ACCESS)).status_code for path in READ_PATHS] == [200] * 4


async def test_its_data_ask_for_its_own_token(master_url):
    async with dashboard_of(master_url) as browser:
        assert [(await browser.get(path)).status_code for path in READ_PATHS] == [401] * 4
        assert (
            await browser.get("/workers/list", headers={"Authorization": f"Bearer {TOKEN}"})
        ).status_code == 401
        await browser.post("/dashboard/login", json={"token": "its-own"})
        assert (await browser.get("/workers/list")).status_code == 200


async def test_the_masters_token_never_reaches_the_browser(master_url):
    async with dashboard_of(master_url) as browser:
        for path in (*READ_PATHS, "/", "/health", "/dashboard/app.js"):
            reply = await browser.get(path, headers=ACCESS)
            assert TOKEN not in reply.text + str(reply.headers), path


async def test_a_master_that_is_down_is_a_502_that_names_it(nobodys_url):
    async with dashboard_of(nobodys_url) as browser:
        assert (await browser.get("/dashboard")).status_code == 200
        assert (await browser.get("/health")).status_code == 200
        for path in READ_PATHS:
            reply = await browser.get(path, headers=ACCESS)
            assert (reply.status_code, reply.json()["code"]) == (502, "master_unreachable")
            assert nobodys_url in reply.json()["error"]
            assert reply.json()["request_id"]


async def test_a_master_that_refuses_the_token_does_not_sign_the_browser_out(master_url):
    async with dashboard_of(master_url, token="stale") as browser:
        reply = await browser.get("/queue", headers=ACCESS)
        assert (reply.status_code, reply.json()["code"]) == (502, "bad_reply")
        assert "--token" in reply.json()["error"]


async def test_what_is_no_master_is_told_so(master_url):
    async with dashboard_of(master_url + "/dashboard") as browser:
        assert (await browser.get("/queue", headers=ACCESS)).json()["code"] == "bad_reply"


@pytest.mark.parametrize(
    "call", ["POST /workers/drain", "POST /envs/create", "GET /api/metrics", "POST /queue"]
)
async def test_it_passes_nothing_else_on(master_url, call):
    method, path = call.split()
    async with dashboard_of(master_url) as browser:
        assert (await browser.request(method, path, headers=ACCESS)).status_code in (404, 405)
