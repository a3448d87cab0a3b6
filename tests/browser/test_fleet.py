"""Workers and creates, as an operator follows them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from gym_queue.testing import Fleet
from tests.browser.conftest import TOKEN, Watched, find_barriers
from tests.browser.scene import Door

pytestmark = pytest.mark.needs("chromium", "redis-server")


def test_a_worker_joins_and_dies(fleet: Fleet, desk: Watched) -> None:
    page = desk.open("workers")
    expect(page.get_by_role("row", name=re.compile("worker-1.*healthy"))).to_be_visible()
    fleet.add_worker().wait_ready()
    expect(page.get_by_role("row", name=re.compile("worker-2.*healthy"))).to_be_visible()
    fleet.kill_worker(1)
    expect(page.get_by_role("row", name=re.compile("worker-2.*(unhealthy|dead)"))).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("region", name="Needs attention")).to_contain_text("worker-2")
    fleet.restart_worker(1)
    desk.open("workers")
    expect(page.get_by_role("row", name=re.compile("worker-2.*healthy"))).to_be_visible()
    fleet.terminate_worker(1)
    expect(page.get_by_role("row", name=re.compile("worker-2"))).to_have_count(0)


def test_a_create_waits_in_the_queue_and_starts(fleet: Fleet, desk: Watched) -> None:
    door = Door(fleet.url, TOKEN)
    with door.terminal() as first, door.terminal():
        page = desk.open("queue")
        expect(page.get_by_text("Nobody waits")).to_be_visible()
        with door.waiting("waits-in-the-browser"):
            row = page.get_by_role("row", name=re.compile("waits-in-the-browser"))
            expect(row).to_contain_text("all 2 slots are taken")
            first.close()
            expect(row).to_have_count(0)
            desk.open("environments", q="waits-in-the-browser")
            expect(page.get_by_role("listitem").filter(has_text="top_ip")).to_contain_text("ready")


def test_a_create_that_waits_is_cancelled_from_the_page(fleet: Fleet, desk: Watched) -> None:
    door = Door(fleet.url, TOKEN)
    with door.terminal(), door.terminal(), door.waiting("waits-for-nothing"):
        page = desk.open("queue")
        row = page.get_by_role("row", name=re.compile("waits-for-nothing"))
        row.get_by_role("button", name=re.compile("Cancel")).click()
        page.get_by_role("dialog").get_by_role("button", name=re.compile("Cancel")).click()
        expect(row).to_have_count(0)


def test_a_failing_create_shows_its_traceback(fleet: Fleet, desk: Watched) -> None:
    Door(fleet.url, TOKEN).fail("cannot-be-opened")
    page = desk.open("tasks", state="FAILURE")
    page.get_by_role("row", name=re.compile("cannot-be-opened")).click()
    drawer = page.get_by_role("dialog")
    expect(drawer).to_contain_text("has no task 'no_such_task'")
    expect(drawer).to_contain_text("Traceback (most recent call last)")
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)


def test_what_a_caller_wrote_is_text_and_never_markup(fleet: Fleet, desk: Watched) -> None:
    name = "<img src=x onerror=document.title='taken'>"
    Door(fleet.url, TOKEN).post(
        "/envs/create",
        {"env_id": "marked-up", "env_dir": name, "task_id": "<script>1</script>" + "x" * 100_000},
    )
    page = desk.open("tasks", q="marked-up")
    page.get_by_role("row", name=re.compile("marked-up")).click()
    expect(page.get_by_role("dialog")).to_contain_text(name)
    assert page.locator("img[src=x]").count() == 0
    assert page.title() == "Gym-Anything Master Dashboard"


def test_a_worker_is_drained_and_undrained_from_the_page(fleet: Fleet, desk: Watched) -> None:
    page = desk.open("workers")
    row = page.get_by_role("row", name=re.compile("worker-1"))
    row.click()
    drawer = page.get_by_role("dialog", name="Worker worker-1")
    drawer.get_by_role("button", name="Drain").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain").last.click()
    expect(row).to_contain_text("draining")
    drawer.get_by_role("button", name="Undrain").click()
    page.get_by_role("dialog").get_by_role("button", name="Undrain").last.click()
    expect(row).to_contain_text("healthy")


def test_the_address_holds_the_filter(desk: Watched) -> None:
    page = desk.open("workers")
    row = page.get_by_role("row", name=re.compile("worker-1"))
    expect(row).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("nobody-is-called-so")
    expect(row).to_have_count(0)
    expect(page).to_have_url(re.compile("q=nobody-is-called-so"))
    page.reload()
    expect(page.get_by_placeholder(re.compile("Filter"))).to_have_value("nobody-is-called-so")
    page.get_by_placeholder(re.compile("Filter")).fill("")
    expect(row).to_be_visible()
    expect(page).not_to_have_url(re.compile("q="))


@pytest.mark.parametrize(
    "view", ["overview", "workers", "tasks", "queue", "broker", "environments", "episodes"]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out_of_a_view(fleet: Fleet, desk: Watched, view: str, scheme: str) -> None:
    desk.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # two of its words
    page = desk.open(view)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    assert find_barriers(page) == []
