"""gym-anything-dashboard, the program: one page before two masters that run elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from gym_queue.testing import Fleet
from gym_queue.testing.fleet import Program
from tests.browser.conftest import TOKEN, Watch, Watched, start_fleet, wait_for
from tests.browser.scene import Door

pytestmark = pytest.mark.needs("chromium", "redis-server")


@contextmanager
def dashboard(masters: Sequence[str], *flags: str, token: str = TOKEN) -> Iterator[str]:
    """Run the program; yields its URL."""
    named = [each for master in masters for each in ("--master-url", master)]
    flags = (*named, "--port", "0", *flags)
    program = Program("gym_queue.cli.dashboard", flags, log=None, variables={"GYM_ANYTHING_TOKEN": token})
    try:
        yield program.wait_ready()
    finally:
        program.terminate()
        program.wait()


@pytest.fixture(scope="module")
def other() -> Iterator[Fleet]:
    """A second cluster."""
    with start_fleet() as started:
        yield started


@pytest.fixture(scope="module")
def url(fleet: Fleet, other: Fleet) -> Iterator[str]:
    """A dashboard before both clusters."""
    with dashboard([f"lab={fleet.url}", f"spare={other.url}"]) as served:
        yield served


@pytest.fixture
def both(url: str, watch: Watch) -> Watched:
    """A page that is signed in to the dashboard."""
    seen = watch(url)
    seen.sign_in()
    return seen


def card(page: Page, name: str) -> Locator:
    """Return what the overview shows of a master beside others."""
    return page.get_by_role("region", name="Masters").get_by_role("listitem").filter(has_text=name)


def test_masters_stand_side_by_side_and_one_is_chosen_in_the_header(both: Watched, other: Fleet) -> None:
    page = both.open("overview")
    for name in ("lab", "spare"):
        expect(card(page, name)).to_contain_text("0 environments")
    with Door(other.url, TOKEN).terminal():
        expect(card(page, "spare")).to_contain_text("1 environments")
        expect(card(page, "lab")).to_contain_text("0 environments")
        page.get_by_label("Master", exact=True).select_option("spare")
        expect(page).to_have_url(re.compile("master=1"))
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        page.get_by_role("link", name="Environments").first.click()
        expect(page.get_by_role("listitem").filter(has_text="largest_file")).to_be_visible()
        page.get_by_label("Master", exact=True).select_option("lab")
        expect(page.get_by_role("listitem").filter(has_text="largest_file")).to_have_count(0)
        page.go_back()
        expect(page.get_by_role("listitem").filter(has_text="largest_file")).to_be_visible()
        expect(page.get_by_label("Master", exact=True)).to_have_value("1")


@pytest.mark.needs("Xvfb", "xterm", "x11vnc")
def test_a_screen_is_seen_live_and_by_vnc_through_the_program(both: Watched, other: Fleet) -> None:
    with Door(other.url, TOKEN).desktop() as env:
        page = both.open("environment", env=env.env_id, master="1")
        expect(page.get_by_role("tabpanel").get_by_text("left click at 300, 200")).to_be_visible()
        wait_for(page, "document.querySelector('.live canvas').width > 1")
        page.get_by_role("button", name=re.compile("VNC")).click()
        expect(page.get_by_text("Connected: you look only")).to_be_visible()
        wait_for(
            page,
            "[...document.querySelectorAll('.vnc canvas')].some(each => each.width === 1280 && each.height === 720)",
        )
        page.get_by_label(re.compile("control it")).check()
        expect(page.get_by_text("Connected: you act on it")).to_be_visible()


def test_a_worker_is_drained_through_the_program(both: Watched, other: Fleet) -> None:
    page = both.open("workers", open="worker-1", master="1")
    drawer = page.get_by_role("dialog", name="Worker worker-1")
    for act, status in (("Drain", "draining"), ("Undrain", "healthy")):
        drawer.get_by_role("button", name=act, exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name=act, exact=True).last.click()
        expect(drawer).to_contain_text(status)
        found = httpx.get(f"{other.url}/api/workers", headers={"Authorization": f"Bearer {TOKEN}"})
        assert found.json()["rows"][0]["status"] == status


def test_one_that_only_reads_offers_no_act_and_refuses_it(fleet: Fleet, watch: Watch) -> None:
    with dashboard([fleet.url], "--read-only") as url, Door(fleet.url, TOKEN).terminal() as env:
        seen = watch(url)
        page = seen.sign_in()
        expect(page.get_by_text("read only")).to_be_visible()
        page = seen.open("workers", open="worker-1")
        expect(page.get_by_role("dialog", name="Worker worker-1")).to_contain_text("healthy")
        expect(page.get_by_role("button", name="Drain")).to_have_count(0)
        page = seen.open("environment", env=env.env_id)
        wait_for(page, "document.querySelector('.live') !== null")
        expect(page.get_by_role("button", name="Close")).to_have_count(0)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        refused = httpx.post(f"{url}/m/0/workers/drain", headers=headers, json={"worker_id": "worker-1"})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_a_master_whose_token_is_another_says_so(fleet: Fleet, watch: Watch) -> None:
    with dashboard([fleet.url], token="a-token-of-nobody") as url:
        seen = watch(url)
        seen.page.goto(f"{url}/dashboard?token=a-token-of-nobody")
        expect(seen.page.locator("main")).to_contain_text("refuses this dashboard's token")
        expect(seen.page.get_by_label("The cluster's token")).to_be_hidden()
        seen.page.close()  # before its server ends, in the middle of whatever it loads


def test_one_master_goes_and_the_other_goes_on(both: Watched, other: Fleet) -> None:
    page = both.open("overview")
    expect(card(page, "spare")).to_contain_text("ok")
    other.kill_master()
    try:
        expect(card(page, "spare")).to_contain_text("does not answer")
        expect(card(page, "lab")).to_contain_text("0 environments")
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        page.get_by_label("Master", exact=True).select_option("spare")
        expect(page.get_by_text(re.compile("Disconnected since"))).to_be_visible()
        expect(page.locator("#banner")).to_contain_text("does not answer")
    finally:
        other.restart_master()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    expect(card(page, "spare")).to_contain_text("ok")
    expect(page.get_by_role("region", name="Masters").get_by_role("link", name="spare")).to_have_attribute(
        "aria-current", "true"
    )
