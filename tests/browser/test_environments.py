"""Environments and episodes, as people look at them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from gym_queue.testing import Fleet
from tests.browser.conftest import PHONE, TOKEN, Watched, find_barriers, wait_for
from tests.browser.scene import Door

pytestmark = pytest.mark.needs("chromium", "redis-server", "Xvfb", "xterm", "x11vnc")


def picture_of(desk: Watched) -> str:
    """Return what the live view shows, as bytes in text."""
    drawn: str = desk.page.locator(".live canvas").first.evaluate("canvas => canvas.toDataURL()")
    return drawn


def test_a_live_view_changes_after_a_step_and_says_when_its_environment_has_closed(
    fleet: Fleet, desk: Watched
) -> None:
    with Door(fleet.url, TOKEN).desktop() as env:
        page = desk.open("environment", env=env.env_id)
        expect(page.get_by_role("tabpanel").get_by_text("left click at 300, 200")).to_be_visible()
        page.get_by_role("checkbox", name="actions").uncheck()
        wait_for(page, "document.querySelector('.live canvas').width > 1")
        before = picture_of(desk)
        env.step([{"keyboard": {"text": "echo something else\n"}}])
        expect(page.get_by_role("tabpanel").get_by_text('type "echo something else')).to_be_visible()
        wait_for(page, "before => document.querySelector('.live canvas').toDataURL() !== before", before)
        assert find_barriers(page) == []
        env.close()
        expect(page.get_by_text(re.compile("closed")).first).to_be_visible()


def test_a_screen_is_taken_over_by_vnc(fleet: Fleet, desk: Watched) -> None:
    with Door(fleet.url, TOKEN).desktop() as env:
        page = desk.open("environment", env=env.env_id)
        page.get_by_role("button", name=re.compile("VNC")).click()
        wait_for(
            page,
            "[...document.querySelectorAll('canvas')].some(each => each.width === 1280 && each.height === 720)",
        )


def test_the_wall_shows_what_every_environment_sees(fleet: Fleet, desk: Watched) -> None:
    door = Door(fleet.url, TOKEN)
    with door.terminal(), door.desktop():
        page = desk.open("environments")
        expect(page.get_by_role("listitem").filter(has_text="largest_file")).to_be_visible()
        wait_for(
            page,
            "[...document.querySelectorAll('main canvas')].filter(each => !each.hidden && each.width > 1).length === 2",
        )


def test_an_environment_is_closed_from_the_page(fleet: Fleet, desk: Watched) -> None:
    with Door(fleet.url, TOKEN).terminal() as env:
        page = desk.open("environment", env=env.env_id)
        page.get_by_role("button", name="Close").click()
        page.get_by_role("dialog").get_by_role("button", name=re.compile("Close")).click()
        expect(page.get_by_text(re.compile("closed")).first).to_be_visible()


def test_a_finished_episode_is_replayed_frame_by_frame(fleet: Fleet, desk: Watched) -> None:
    Door(fleet.url, TOKEN).play("permissions")
    page = desk.open("episodes", task="permissions")
    page.get_by_role("link", name=re.compile("terminal_env")).first.click()
    expect(page.get_by_text("Step 0 of 2")).to_be_visible()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_text("After the last of 2 steps")).to_be_visible()
    page.get_by_role("tab", name="Verdict").click()
    expect(page.get_by_role("tabpanel")).to_contain_text("100")
    assert find_barriers(page) == []


def test_every_view_fits_a_phone(fleet: Fleet, desk: Watched) -> None:
    desk.page.set_viewport_size(PHONE)
    with Door(fleet.url, TOKEN).terminal():
        for view in ("overview", "workers", "tasks", "queue", "broker", "environments", "episodes"):
            page = desk.open(view)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            expect(page.get_by_text("live", exact=True)).to_be_visible()
            wide = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide <= 0, view


def test_dark_is_dark(desk: Watched) -> None:
    def lightness() -> float:
        colour: str = desk.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3

    desk.page.emulate_media(color_scheme="light")
    desk.open("overview")
    assert lightness() > 200
    desk.page.emulate_media(color_scheme="dark")
    assert lightness() < 60
    desk.page.get_by_role("button", name=re.compile("Theme: auto")).click()
    assert lightness() > 200
    desk.page.reload()
    assert lightness() > 200
