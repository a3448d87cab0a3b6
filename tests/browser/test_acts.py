"""What an operator does from the page, and what it says when the master does not do it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, Route, expect

from gym_queue.testing import Fleet
from tests.browser.conftest import TOKEN, Watched, start_fleet
from tests.browser.scene import Door

pytestmark = pytest.mark.needs("chromium", "redis-server")

REASON = "the worker is busy with something else: try again in a moment"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """A cluster whose master does not mind that its worker is silent for a while."""
    with start_fleet(calm=True) as started:
        yield started


@contextmanager
def on_its_way(fleet: Fleet, env_id: str) -> Iterator[None]:
    """A create that was sent to a worker, which does not take it."""
    fleet.pause_worker(0)
    try:
        with Door(fleet.url, TOKEN).waiting(env_id):
            yield
    finally:
        fleet.resume_worker(0)


def refuse(page: Page, path: str) -> None:
    """Let the calls below a path be refused as a master in trouble refuses them."""

    def answer(route: Route) -> None:
        route.fulfill(status=503, json={"error": REASON, "code": "worker_unreachable"})

    page.route(re.compile(path), answer)


def agree(page: Page, act: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=act, exact=True).last.click()


def test_a_create_on_its_way_is_revoked_from_its_task(fleet: Fleet, desk: Watched) -> None:
    with on_its_way(fleet, "slow-to-open"):
        page = desk.open("tasks")
        page.get_by_role("row", name=re.compile("slow-to-open.*sent")).click()
        drawer = page.get_by_role("dialog", name="Task slow-to-open")
        drawer.get_by_role("button", name="Revoke").click()
        agree(page, "Revoke")
        expect(page.get_by_text("The create is given up", exact=True)).to_be_visible()
        fleet.resume_worker(0)
        expect(drawer.locator(".lead")).to_have_text(
            "success"
        )  # the worker opened it, and the master closes that
        expect(drawer.get_by_role("button", name="Revoke")).to_have_count(0)
        desk.open("environments", q="slow-to-open")
        expect(
            page.get_by_text("Nothing matches the filter").or_(page.get_by_text("No environment yet"))
        ).to_be_visible()


def test_a_task_leads_to_its_environment(fleet: Fleet, desk: Watched) -> None:
    with Door(fleet.url, TOKEN).terminal() as env:
        page = desk.open("tasks", open=env.env_id)
        page.get_by_role("dialog").get_by_role("link", name=env.env_id).click()
        expect(page).to_have_url(re.compile(f"view=environment&env={env.env_id}"))
        expect(page.get_by_role("button", name="Close")).to_be_visible()


def test_a_revoke_that_is_refused_says_why_above_the_drawer(fleet: Fleet, desk: Watched) -> None:
    with on_its_way(fleet, "not-revoked"):
        page = desk.open("tasks", open="not-revoked")
        refuse(page, "/revoke$")
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        agree(page, "Revoke")
        told = page.get_by_role("dialog").get_by_text(REASON)
        expect(told).to_be_visible()
        assert told.evaluate("""element => {
            const { x, y, width, height } = element.getBoundingClientRect();
            return document.elementFromPoint(x + width / 2, y + height / 2) === element;
        }""")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_text(REASON)).to_be_visible()


def test_a_cancel_a_drain_and_a_close_that_are_refused_say_why(fleet: Fleet, desk: Watched) -> None:
    door = Door(fleet.url, TOKEN)
    with door.terminal() as env, door.terminal(), door.waiting("not-cancelled"):
        page = desk.open("queue")
        refuse(page, "/close$|/drain$")
        row = page.get_by_role("row", name=re.compile("not-cancelled"))
        row.get_by_role("button", name="Cancel").click()
        agree(page, "Cancel the create")
        expect(page.get_by_text(REASON)).to_be_visible()
        expect(row).to_be_visible()
        desk.open("workers", open="worker-1")
        page.get_by_role("dialog").get_by_role("button", name="Drain").click()
        agree(page, "Drain")
        expect(page.get_by_text(REASON)).to_be_visible()
        desk.open("environment", env=env.env_id)
        page.get_by_role("button", name="Close").click()
        agree(page, "Close the environment")
        expect(page.get_by_text(f"It was not closed: {REASON}")).to_be_visible()
        expect(page.get_by_role("button", name="Close")).to_be_enabled()


def test_a_press_of_a_button_outlives_what_changes_around_it(fleet: Fleet, desk: Watched) -> None:
    page = desk.open("workers", open="worker-1")
    button = page.get_by_role("dialog").get_by_role("button", name="Drain")
    button.focus()
    heartbeat = page.get_by_role("dialog").locator("time").first
    before = heartbeat.get_attribute("data-at")
    expect(heartbeat).not_to_have_attribute("data-at", str(before))
    expect(button).to_be_focused()
