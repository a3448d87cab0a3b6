from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
import pytest

from gym_queue.dashboard.app import make_dashboard_app
from gym_queue.dashboard.relay import MasterAddress, MasterRelay
from gym_queue.web.server import HttpServer, bind
from tests.unit.dashboard.masters import TOKEN

pytestmark = pytest.mark.anyio

ACCESS = {"Authorization": "Bearer its-own"}
READS = ("/workers/list", "/queue", "/api/tasks", "/envs/list", "/health")
DRAIN = "/m/0/workers/drain"


@asynccontextmanager
async def dashboard_of(*urls: str, token: str | None = TOKEN, access: str | None = "its-own", **more):
    """A browser on a standalone dashboard of the masters at ``urls``."""
    masters = tuple(MasterRelay(MasterAddress(f"m{at}", url), token, **more) for at, url in enumerate(urls))
    transport = httpx.ASGITransport(make_dashboard_app(masters, access_token=access))
    async with httpx.AsyncClient(transport=transport, base_url="http://dashboard.test") as browser:
        yield browser
    for master in masters:
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


async def test_it_shows_what_each_master_answers(master_url, nobodys_url):
    async with dashboard_of(nobodys_url, master_url + "/") as browser, httpx.AsyncClient() as direct:
        listed = (await browser.get("/api/masters", headers=ACCESS)).json()
        assert [each["base"] for each in listed] == ["/m/0", "/m/1"]
        assert [each["url"] for each in listed] == [nobodys_url, master_url]
        shown = await browser.get("/m/1/envs/list", headers=ACCESS)
        told = await direct.get(master_url + "/envs/list", headers={"Authorization": f"Bearer {TOKEN}"})
        assert shown.json() == told.json()
        for path in READS:
            assert (await browser.get(f"/m/1{path}", headers=ACCESS)).status_code == 200, path


async def test_its_data_ask_for_its_own_token(master_url):
    async with dashboard_of(master_url) as browser:
        for path in ("/api/masters", "/m/0/queue", "/m/0/api/me"):
            assert (await browser.get(path)).status_code == 401
            wrong = {"Authorization": f"Bearer {TOKEN}"}
            assert (await browser.get(path, headers=wrong)).status_code == 401
        await browser.post("/dashboard/login", json={"token": "its-own"})
        assert (await browser.get("/m/0/workers/list")).status_code == 200


async def test_the_masters_token_never_reaches_the_browser(master_url):
    async with dashboard_of(master_url) as browser:
        for path in (*(f"/m/0{path}" for path in READS), "/api/masters", "/m/0/api/me", "/", "/health"):
            reply = await browser.get(path, headers=ACCESS)
            assert TOKEN not in reply.text + str(reply.headers), path


async def test_a_master_that_is_down_is_a_502_that_names_it(nobodys_url):
    async with dashboard_of(nobodys_url) as browser:
        assert (await browser.get("/dashboard")).status_code == 200
        assert (await browser.get("/health")).status_code == 200
        for path in ("/m/0/queue", "/m/0/api/me", "/m/0/api/live"):
            reply = await browser.get(path, headers=ACCESS)
            assert (reply.status_code, reply.json()["code"]) == (502, "master_unreachable")
            assert nobodys_url in reply.json()["error"]
            assert reply.json()["request_id"] == reply.headers["X-Request-ID"]


async def test_a_master_that_refuses_the_token_does_not_sign_the_browser_out(master_url):
    async with dashboard_of(master_url, token="stale") as browser:
        for path in ("/m/0/queue", "/m/0/api/me"):
            reply = await browser.get(path, headers=ACCESS)
            assert (reply.status_code, reply.json()["code"]) == (502, "bad_reply")
            assert "--token" in reply.json()["error"]


async def test_a_masters_own_errors_come_as_they_are(master_url):
    async with dashboard_of(master_url) as browser:
        reply = await browser.get("/m/0/envs/none", headers={**ACCESS, "X-Request-ID": "mine"})
        assert (reply.status_code, reply.json()["code"]) == (404, "env_not_found")
        assert reply.json()["request_id"] == reply.headers["X-Request-ID"] == "mine"


async def test_what_acts_is_handed_on_from_its_own_page_or_with_a_bearer(master_url):
    page = {"X-Gym-Queue-Page": "1", "Origin": "http://dashboard.test"}
    body = {"worker_id": "nope"}
    async with dashboard_of(master_url) as browser:
        assert (await browser.post(DRAIN, json=body, headers=ACCESS)).json()["code"] == "worker_not_found"
        await browser.post("/dashboard/login", json={"token": "its-own"})
        assert (await browser.post(DRAIN, json=body)).status_code == 401
        assert (await browser.post(DRAIN, json=body, headers=page)).json()["code"] == "worker_not_found"
        elsewhere = {**page, "Origin": "http://elsewhere.example"}
        assert (await browser.post(DRAIN, json=body, headers=elsewhere)).status_code == 401


@pytest.mark.parametrize(
    "call",
    ["workers/drain", "workers/undrain", "envs/e1/close", "envs/e1/vnc_ticket", "api/envs/e1/hand"],
)
async def test_read_only_it_refuses_what_acts_by_itself(nobodys_url, call):
    async with dashboard_of(nobodys_url, read_only=True) as browser:
        reply = await browser.post(f"/m/0/{call}", headers=ACCESS)
        assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")


async def test_without_a_token_asked_no_other_page_acts_in_its_place(master_url):
    async with dashboard_of(master_url, access=None) as browser:
        assert (await browser.get("/m/0/queue")).status_code == 200
        elsewhere = {"Origin": "http://elsewhere.example", "X-Gym-Queue-Page": "1"}
        for headers in ({}, elsewhere, {"Origin": "http://dashboard.test"}):
            reply = await browser.post(DRAIN, json={"worker_id": "w"}, headers=headers)
            assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "call",
    [
        *("POST /m/0/envs/create", "POST /m/0/envs/e1/step", "POST /m/0/envs/e1/reset", "POST /m/0/queue"),
        *("POST /m/0/workers/register", "POST /m/0/dashboard/login", "PUT /m/0/envs/e1/files"),
        "POST /m/0/api/envs/e1/hand/next",
        *("DELETE /m/0/envs/e1", "GET /m/0/metrics", "GET /m/0/openapi.json", "GET /m/0/", "GET /m/0"),
        *("GET /m/1/queue", "GET /m/-1/queue", "GET /m/00001/queue", "GET /m/x/queue", "GET /queue"),
        *("GET /m/0/queue/", "GET /m/0/api/", "GET /m/0/envs//e1", "GET /m/0//queue"),
    ],
)
async def test_it_passes_nothing_else_on(nobodys_url, call):
    method, path = call.split()
    async with dashboard_of(nobodys_url) as browser:
        reply = await browser.request(method, path, headers=ACCESS)
        assert reply.status_code in (404, 405), reply.text  # 502 is what asking that master gives


async def test_who_may_act_is_what_the_master_says_and_never_more():
    async def master(scope, receive, send):
        told = b'{"role": "cluster", "may_act": true, "master": {"version": "9", "url": "http://10.9.9.9"}}'
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": told})

    bound = bind("127.0.0.1", 0)
    server, url = HttpServer(master, bound), f"http://127.0.0.1:{bound.getsockname()[1]}"
    await server.start()
    for read_only in (False, True):
        async with dashboard_of(url, read_only=read_only) as browser:
            told = (await browser.get("/m/0/api/me", headers=ACCESS)).json()
            assert (told["role"], told["may_act"]) == ("cluster", not read_only)
            assert (told["master"]["version"], told["master"]["url"]) == ("9", url)
    await server.stop()


async def test_a_body_larger_than_any_call_takes_is_refused(nobodys_url):
    async with dashboard_of(nobodys_url) as browser:
        reply = await browser.post(DRAIN, content=b"x" * (65 << 10), headers=ACCESS)
        assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
