"""report.html from its file, without any server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from gym_queue.benchmark.agents.base import AgentTurn
from gym_queue.benchmark.attempt import Timings
from gym_queue.benchmark.recorder import FolderRecorder
from gym_queue.benchmark.report.write import write_report
from tests.unit.benchmark.runs import CLICK, HOSTILE, LOST, attempt, info, play, write

from .conftest import PHONE, Watched, find_barriers

pytestmark = pytest.mark.needs("chromium")

DRAG: dict[str, Any] = {"mouse": {"left_click_drag": [[10, 10], [200, 100]]}}
TYPE: dict[str, Any] = {"keyboard": {"text": HOSTILE}}
NAME = "<img src=x onerror=alert(1)>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with hostile names and words, a lost attempt, and one with frames."""
    attempts = [
        attempt("a", seconds=9.0),
        attempt("b", "error", error=LOST),
        attempt(NAME, "failed", feedback=HOSTILE, seconds=30.0),
    ]
    made = write(tmp_path / "r & d", attempts, info(tasks=("a", "b", NAME)))
    play(made, "a", [AgentTurn([CLICK], note=HOSTILE), AgentTurn([DRAG]), AgentTurn([TYPE])])
    write_report(made.path)
    return made.path


@pytest.fixture
def show(watch: Callable[..., Watched], folder: Path) -> Callable[..., Page]:
    def opened(**context: Any) -> Page:
        page = watch("", **context).page
        page.goto((folder / "report.html").as_uri())
        return page

    return opened


def tasks(page: Page) -> list[str]:
    return page.locator("table.attempts tbody tr td:first-child").all_inner_texts()


def test_the_attempts_are_listed_sorted_and_filtered(show):
    page = show()
    assert tasks(page) == ["a", "b", NAME]
    page.get_by_role("button", name="time").click()
    assert tasks(page) == ["b", "a", NAME]
    page.get_by_role("button", name="time").click()
    assert tasks(page) == [NAME, "a", "b"]
    page.get_by_label("Outcome").select_option("lost")
    assert tasks(page) == ["b"]
    page.get_by_label("Outcome").select_option("")
    page.get_by_label("Filter").fill("SCRIPT onerror")
    assert tasks(page) == [NAME]
    expect(page.get_by_text("1 of 3")).to_be_visible()


def test_a_frame_is_loaded_when_it_is_shown_and_what_was_done_is_drawn_on_it(show):
    page = show()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    page.locator("table.attempts").get_by_role("button", name="a", exact=True).click()
    stage = page.locator(".stage")
    expect(stage.locator("svg text")).to_have_text("left click")
    assert float(stage.locator("svg circle").first.get_attribute("cx")) == 40
    assert loaded == ["frame_00000.png"]
    page.get_by_label("Step on").click()
    expect(stage.locator("svg text")).to_have_text("left drag")
    page.get_by_label("Step on").click()
    expect(stage.locator("svg text")).to_contain_text('type "</script>')
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_where_the_time_went_is_shown_and_what_was_refused(show, folder):
    made = [attempt("a", timings=Timings(acting=3.0, stepping=1.0), seconds=5.0, refused=1)]
    run = write(folder.parent / "r & d2", made)
    with FolderRecorder(run.path / "attempts/small/a/0") as recorder:
        recorder.reset({})
        recorder.step(0, AgentTurn([CLICK]), {}, reward=0, info=None, refused=HOSTILE)
    write_report(run.path)
    page = show()
    page.goto((run.path / "report.html").as_uri())
    row = page.get_by_role("row", name="the agent's turns")
    expect(row).to_contain_text("60.0 %")
    page.locator("table.attempts").get_by_role("button", name="a", exact=True).click()
    expect(page.locator(".steps .refused")).to_have_text(f"refused: {HOSTILE}")


def test_hostile_names_and_words_are_text(show):
    page = show()
    expect(page.get_by_role("button", name=NAME).first).to_be_visible()
    page.locator("table.attempts").get_by_role("button", name=NAME).click()
    expect(page.get_by_role("dialog")).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0
    assert page.title() == "small: Plain"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(show, scheme):
    page = show(color_scheme=scheme, bypass_csp=True)
    assert find_barriers(page) == []
    page.locator("table.attempts").get_by_role("button", name="a", exact=True).click()
    expect(page.locator(".stage svg")).to_be_attached()
    assert find_barriers(page) == []


def test_the_theme_turns_and_a_phone_needs_no_sideways_scrolling(show):
    page = show(viewport=PHONE)
    before = page.evaluate("getComputedStyle(document.body).colorScheme")
    page.get_by_role("button", name="Light / dark").click()
    assert page.evaluate("getComputedStyle(document.body).colorScheme") != before
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
