"""The page when its master goes, its broker goes, or its reader has no right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from gym_queue.testing import Fleet
from tests.browser.conftest import PHONE, TOKEN, Watch, Watched, start_fleet

pytestmark = pytest.mark.needs("chromium", "redis-server")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """A cluster of this module's own: it is broken here."""
    with start_fleet() as started:
        yield started


def test_the_page_goes_on_after_a_restart_of_the_master(fleet: Fleet, desk: Watched) -> None:
    page = desk.open("workers")
    expect(page.get_by_role("row", name=re.compile("worker-1"))).to_be_visible()
    fleet.kill_master()
    expect(page.get_by_text(re.compile("Disconnected since"))).to_be_visible()
    fleet.restart_master()
    expect(page.get_by_text(re.compile("Disconnected since"))).to_be_hidden()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("worker-1.*healthy"))).to_be_visible()


def test_a_master_that_hangs_makes_the_page_stale_and_nothing_worse(fleet: Fleet, desk: Watched) -> None:
    page = desk.open("overview")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    fleet.pause_master()
    try:
        expect(page.get_by_text(re.compile("^(stale|disconnected)$"))).to_be_visible(timeout=60_000)
    finally:
        fleet.resume_master()
    expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=60_000)


def test_a_broker_that_is_down_is_said_and_comes_back(fleet: Fleet, desk: Watched) -> None:
    page = desk.open("broker")
    expect(page.get_by_text("env.local.worker-1").first).to_be_visible()
    fleet.kill_broker()
    try:
        desk.open("broker")
        expect(page.locator("main")).to_contain_text(
            re.compile("broker.*(down|refused|cannot|not answer)", re.I | re.S)
        )
    finally:
        fleet.restart_broker()
    desk.open("broker")
    expect(page.get_by_text("env.local.worker-1").first).to_be_visible()


def test_who_has_no_token_sees_nothing_but_the_way_in(fleet: Fleet, watch: Watch) -> None:
    stranger = watch(fleet.url, viewport=PHONE)
    page = stranger.open("workers")
    expect(page.get_by_label("The cluster's token")).to_be_visible()
    page.get_by_label("The cluster's token").fill("a-wrong-token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    assert "worker-1" not in page.content()
    page.get_by_label("The cluster's token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("worker-1").first).to_be_visible()


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_ages_are_right_though_the_browsers_clock_is_an_hour_off(
    fleet: Fleet, watch: Watch, ahead_s: int
) -> None:
    seen = watch(fleet.url)
    seen.page.add_init_script(f"const real = Date.now; Date.now = () => real() + {ahead_s * 1000};")
    seen.sign_in()
    expect(seen.page.locator(".view-head time")).to_have_text(re.compile(r"^\d+(\.\d)? (s|min)\b"))
    page = seen.open("workers", open="worker-1")
    ages = page.get_by_role("dialog", name="Worker worker-1").locator("time")
    expect(ages).not_to_have_count(0)
    for text in ages.all_inner_texts():
        assert re.fullmatch(r"now|\d+ (s|min) ago", text), text


HIDE = """
Object.defineProperty(document, "hidden", { get: () => window.isAway === true });
window.leave = isAway => {
  window.isAway = isAway;
  document.dispatchEvent(new Event("visibilitychange"));
};
"""


@pytest.mark.parametrize("view", ["overview", "workers", "environments", "broker"])
def test_a_hidden_page_asks_for_nothing_and_catches_up(fleet: Fleet, desk: Watched, view: str) -> None:
    desk.page.add_init_script(HIDE)
    page = desk.open(view)
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    page.evaluate("leave(true)")
    page.wait_for_timeout(7000)  # it hangs up after five seconds
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(5000)
    assert asked == []
    with page.expect_request("**/api/live"):
        page.evaluate("leave(false)")
    expect(page.get_by_text("live", exact=True)).to_be_visible()


def test_a_token_that_opens_no_more_brings_the_way_in_back(fleet: Fleet, desk: Watched) -> None:
    page = desk.open("workers")
    expect(page.get_by_role("row", name=re.compile("worker-1"))).to_be_visible()
    setup, another = fleet.setup, "another-token-of-the-cluster"
    fleet.kill_master()
    try:
        fleet.setup = replace(setup, variables={**setup.variables, "GYM_ANYTHING_TOKEN": another})
        fleet.restart_master()
        field = page.get_by_label("The cluster's token")
        expect(field).to_be_visible()
        expect(page.get_by_text("signed out")).to_be_visible()
        assert "worker-1" not in page.content()
        field.fill(another)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        expect(page.get_by_role("heading", name="Workers")).to_be_visible()
    finally:
        fleet.kill_master()
        fleet.setup = setup
        fleet.restart_master()
