"""What the dashboard's cookie opens: what only reads, and what a page of this very server asks for."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from gym_queue.web.auth import COOKIE, TokenMiddleware, same_token
from gym_queue.web.requestid import RequestIdMiddleware
from tests.unit.web.test_http import TOKEN, make_app, serving

COOKIES = {"Cookie": f"{COOKIE}={TOKEN}"}
PAGE = {"X-Gym-Queue-Page": "1"}
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def server() -> Iterator[httpx.Client]:
    guarded = TokenMiddleware(make_app(), check=lambda _path, given: same_token(given, TOKEN))
    with serving(RequestIdMiddleware(guarded)) as client:
        yield client


def own(server: httpx.Client) -> dict[str, str]:
    return {"Origin": f"http://127.0.0.1:{server.base_url.port}"}


def act(server: httpx.Client, *headers: dict[str, str]) -> int:
    merged = {name: value for each in (COOKIES, *headers) for name, value in each.items()}
    return server.post("/act", headers=merged).status_code


def test_the_cookie_opens_a_post_of_this_servers_own_page(server: httpx.Client) -> None:
    assert act(server, PAGE, own(server)) == 200
    assert act(server, PAGE, own(server), SAME_SITE) == 200
    assert act(server, PAGE, SAME_SITE) == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://elsewhere.example",
        "null",
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        "http://localhost",
        "file://",
    ],
)
def test_no_other_origin_may_act_by_the_cookie(server: httpx.Client, origin: str) -> None:
    assert act(server, PAGE, {"Origin": origin}) == 401
    assert act(server, PAGE, {"Origin": origin}, SAME_SITE) == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "same-origin, cross-site"])
def test_what_the_browser_says_of_the_site_is_heard(server: httpx.Client, site: str) -> None:
    assert act(server, PAGE, own(server), {"Sec-Fetch-Site": site}) == 401


def test_without_the_pages_header_or_an_origin_the_cookie_opens_no_post(server: httpx.Client) -> None:
    assert act(server) == 401
    assert act(server, own(server)) == 401
    assert act(server, PAGE) == 401
    assert act(server, PAGE, {"Origin": ""}) == 401
    assert act(server, {"X-Gym-Queue-Page": "0"}, own(server)) == 401


def test_a_header_that_comes_twice_is_none(server: httpx.Client) -> None:
    twice = [*COOKIES.items(), *PAGE.items(), *own(server).items(), ("Origin", "http://elsewhere.example")]
    assert server.post("/act", headers=twice).status_code == 401


def test_a_page_that_lost_its_cookie_acts_no_more(server: httpx.Client) -> None:
    assert server.post("/act", headers={**PAGE, **own(server)}).status_code == 401
    assert server.post("/act", headers={**PAGE, **own(server), "Cookie": f"{COOKIE}=x"}).status_code == 401


def test_what_reads_is_opened_by_the_cookie_alone_and_a_bearer_opens_all(server: httpx.Client) -> None:
    elsewhere = {"Origin": "http://elsewhere.example"}
    assert server.get("/raise/missing", headers={**COOKIES, **elsewhere}).status_code == 404
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert server.post("/act", headers={**bearer, **elsewhere}).status_code == 200


def test_other_methods_are_never_opened_by_the_cookie(server: httpx.Client) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        headers = {**COOKIES, **PAGE, **own(server)}
        assert server.request(method, "/act", headers=headers).status_code == 401
