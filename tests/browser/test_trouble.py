"""The page when its master goes, its broker goes, or its reader has no right."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
