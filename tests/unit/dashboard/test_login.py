from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from gym_queue.web.auth import COOKIE
from tests.unit.dashboard.masters import TOKEN, make_parts, master_with_pages

pytestmark = pytest.mark.anyio

DATA = ("/workers/list", "/queue", "/api/tasks", "/envs/list")


async def test_without_a_token_the_page_opens_and_the_data_do_not(browser):
    for path in ("/", "/dashboard", "/dashboard/app.js", "/dashboard/style.css", "/health"):
        assert (await browser.get(path)).status_code == 200, path
    for path in DATA:
        assert (await browser.get(path)).status_code == 401, path


@pytest.mark.parametrize("path", ["/", "/dashboard"])
async def test_a_link_with_the_token_signs_in_and_leaves_the_address_bar(browser, path):
    reply = await browser.get(path, params={"token": TOKEN}, follow_redirects=True)
    assert (reply.status_code, str(reply.url)) == (200, "http://master.test/dashboard")
    assert [(await browser.get(path)).status_code for path in DATA] == [200] * len(DATA)


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(browser):
    reply = await browser.get("/dashboard", params={"token": TOKEN})
    attributes = reply.headers["set-cookie"].lower().split("; ")
    assert {"httponly", "samesite=strict", "path=/"} <= set(attributes)
    assert reply.headers["referrer-policy"] == "no-referrer"


async def test_over_https_the_cookie_stays_on_https(app):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://master.test") as browser:
        reply = await browser.get("/dashboard", params={"token": TOKEN})
    assert "secure" in reply.headers["set-cookie"].lower()


async def test_a_link_with_a_wrong_token_leads_to_the_form_without_a_cookie(browser):
    reply = await browser.get("/dashboard", params={"token": "wrong"})
    assert (reply.status_code, reply.headers["location"]) == (303, "dashboard?login=wrong")
    assert "set-cookie" not in reply.headers


async def test_the_form_trades_the_token_for_a_cookie(browser):
    reply = await browser.post("/dashboard/login", json={"token": TOKEN})
    assert (reply.status_code, reply.content) == (204, b"")
    assert (await browser.get("/workers/list")).status_code == 200


async def test_the_form_refuses_a_wrong_token_without_repeating_it(browser):
    reply = await browser.post("/dashboard/login", json={"token": "guess-4711"})
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
    assert "guess-4711" not in reply.text
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"token=x", 400),
        (b"\xff", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"token": 5}', 422),
        (b" " * 5000, 413),
    ],
)
async def test_a_login_that_is_none_is_told_so(browser, body, status):
    reply = await browser.post("/dashboard/login", content=body)
    assert reply.status_code == status
    assert reply.json()["error"]


async def test_the_cookie_opens_no_call_that_acts(browser):
    await browser.get("/dashboard", params={"token": TOKEN})
    reply = await browser.post("/workers/drain", json={"worker_id": "w"})
    assert reply.status_code == 401
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert (await browser.post("/workers/drain", json={"worker_id": "w"}, headers=bearer)).status_code == 404


async def test_odd_cookies_of_other_programs_do_not_hide_ours(browser):
    header = f'prefs={{"a":1}}; a[0]=1; {COOKIE}="{TOKEN.replace(";", chr(92) + "073")}"; x y'
    assert (await browser.get("/queue", headers={"Cookie": header})).status_code == 200


async def test_without_auth_nobody_is_asked(anyio_backend):
    async with httpx.AsyncClient(trust_env=False) as client:
        transport = httpx.ASGITransport(master_with_pages(make_parts(client, token=None)))
        async with httpx.AsyncClient(transport=transport, base_url="http://master.test") as browser:
            assert (await browser.get("/workers/list")).status_code == 200
            assert (await browser.post("/dashboard/login", json={"token": "any"})).status_code == 204
            assert "set-cookie" not in (await browser.get("/dashboard?token=any")).headers


@pytest.mark.parametrize("path", ["/", "/dashboard"])
async def test_a_link_with_a_wrong_token_counts_as_a_failed_attempt(parts, path):
    access = parts.access_or_default()
    app = master_with_pages(replace(parts, access=access))
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://master.test") as guesser:
        for _ in range(3):
            await guesser.get(path, params={"token": "wrong"})
        assert access.attempts.count("192.0.2.7") == 3
        await guesser.get(path, params={"token": TOKEN})
        await guesser.get(path)
    assert access.attempts.count("192.0.2.7") == 3
