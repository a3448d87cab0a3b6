"""The page before 1,000 workers with 10,000 environments: what it draws, and what it asks for."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request, expect

from gym_queue.testing import Fleet
from tests.browser.conftest import TOKEN, Watched, start_fleet
from tests.scale.load import ENVS, WORKERS
from tests.scale.simulated import simulated_workers

pytestmark = [
    pytest.mark.needs("chromium", "redis-server"),
    pytest.mark.scale,
    pytest.mark.skipif(sys.platform != "linux", reason="each worker has a loopback address of its own"),
]

FILES = 20_000
IDLE_MS = 5_000
MOST_ROWS = 100
WATCH_LONG_TASKS = """
window.longest = 0;
new PerformanceObserver(list => {
  for (const each of list.getEntries()) window.longest = Math.max(window.longest, each.duration);
}).observe({ type: "longtask" });
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """A cluster of simulated workers beside a real one; their heartbeats may be late on a machine at work."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, FILES), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        started = stack.enter_context(start_fleet(calm=True))
        stack.enter_context(simulated_workers(started.url, TOKEN))
        yield started


def asked(page: Page, idle_ms: int = IDLE_MS) -> list[str]:
    """Return the paths that a page asks for while nobody touches it."""
    paths: list[str] = []

    def note(request: Request) -> None:
        paths.append(urlsplit(request.url).path)

    page.on("request", note)
    page.wait_for_timeout(idle_ms)
    page.remove_listener("request", note)
    return paths


def test_an_idle_page_asks_little(desk: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    desk.page.add_init_script(WATCH_LONG_TASKS)
    told = []
    for view, most_per_s in (("overview", 0.5), ("workers", 1.1), ("environments", 8.0), ("tasks", 1.1)):
        page = desk.open(view)
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        page.wait_for_timeout(2000)
        page.evaluate("window.longest = 0")
        paths = asked(page)
        longest_ms = page.evaluate("window.longest")
        per_s = len(paths) / IDLE_MS * 1000
        told.append(f"{view}: {per_s:.1f} calls/s, longest task {longest_ms:.0f} ms")
        assert len(paths) <= most_per_s * IDLE_MS / 1000 + 1, (view, paths)  # one more may fall into the time
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(told) + "\n")


def test_of_a_thousand_workers_only_those_in_sight_are_drawn(desk: Watched) -> None:
    page = desk.open("workers")
    expect(page.locator("#main").get_by_text(f"{WORKERS + 1:,}", exact=True)).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("sim-0 "))).to_be_visible()
    page.get_by_role("grid").focus()
    page.keyboard.press("End")
    expect(page.get_by_role("row", name=re.compile("worker-1"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("sim-999"))).to_be_visible()
    assert page.get_by_role("row").count() < MOST_ROWS
    for top in range(0, 40_000, 4000):
        page.get_by_role("grid").evaluate("(grid, top) => { grid.scrollTop = top; }", top)
    page.keyboard.press("Home")
    expect(page.get_by_role("row", name=re.compile("sim-0 "))).to_be_visible()
    assert page.get_by_role("row").count() < MOST_ROWS
    page.get_by_placeholder("Filter").fill("sim-77")
    expect(page.get_by_text(re.compile("^11 of "))).to_be_visible()


def test_of_ten_thousand_environments_only_those_in_sight_are_drawn(desk: Watched) -> None:
    page = desk.open("environments")
    expect(page.get_by_text(f"{WORKERS * ENVS:,}", exact=True)).to_be_visible()
    expect(page.locator("main").get_by_role("listitem").first).to_be_visible()
    assert page.locator("main").get_by_role("listitem").count() < MOST_ROWS
    bottom = """() => {
      const wall = document.querySelector('main [role=list], main .wall') ?? document.documentElement;
      for (let each = wall; each; each = each.parentElement) each.scrollTop = each.scrollHeight;
      scrollTo(0, document.documentElement.scrollHeight);
    }"""
    page.evaluate(bottom)
    last = page.locator(f"main [aria-posinset='{WORKERS * ENVS}']")
    expect(last).to_be_visible()
    expect(last).to_contain_text("ready")
    assert page.locator("main").get_by_role("listitem").count() < MOST_ROWS
