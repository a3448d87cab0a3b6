"""A real browser on a real cluster; every page is watched for errors and for requests off the machine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, expect, sync_playwright

from gym_queue.testing import Fleet, FleetSetup

TOKEN = "a-token-of-the-browser-tests"
PATIENCE_MS = 30_000
PHONE: ViewportSize = {"width": 390, "height": 844}
LOCAL = ("127.0.0.1", "localhost")
SERIOUS = ("serious", "critical")
NETWORK_ERROR = "Failed to load resource"
"""Begins what Chromium itself writes about a reply that is an error: the page handles those, and says so."""


@dataclass
class Watched:
    """A page, and what must not happen on it."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def open(self, view: str = "overview", **params: str) -> Page:
        """Show a view of the dashboard."""
        self.page.goto(f"{self.url}/dashboard?{urlencode({'view': view, **params})}")
        return self.page

    def sign_in(self) -> Page:
        """Come in by the link with the token, as the master prints it on a terminal."""
        self.page.goto(f"{self.url}/dashboard?token={TOKEN}")
        return self.page

    def check(self) -> None:
        """Fail when something went wrong that people do not see."""
        assert self.errors == []
        assert self.strangers == []


expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")  # no longer: until its end asyncio.run works in no test of this process
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path is not None, "tests that need chromium are marked so"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


def start_fleet(*, calm: bool = False) -> Fleet:
    """Return a cluster, not started yet, whose master is quick to say that a worker has gone, unless it is calm."""
    times = {} if calm else {"HEARTBEAT_S": "1", "HEARTBEAT_TIMEOUT_S": "4", "DEAD_TIMEOUT_S": "8"}
    variables = {f"GYM_ANYTHING_MASTER_{name}": value for name, value in times.items()}
    return Fleet(FleetSetup(workers=1, max_envs=2, variables={"GYM_ANYTHING_TOKEN": TOKEN, **variables}))


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with start_fleet() as started:
        yield started


Watch = Callable[..., Watched]


@pytest.fixture
def watch(browser: Browser) -> Iterator[Watch]:
    """Open a page of its own browser context; checked at the end of the test."""
    watched: list[Watched] = []

    def open_page(url: str, **context: Any) -> Watched:
        page = browser.new_context(**context).new_page()
        page.set_default_timeout(PATIENCE_MS)
        seen = Watched(page, url)

        def on_console(message: ConsoleMessage) -> None:
            if message.type == "error" and not message.text.startswith(NETWORK_ERROR):
                seen.errors.append(message.text)

        page.on("console", on_console)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("request", lambda request: note_stranger(seen, request.url))
        watched.append(seen)
        return seen

    yield open_page
    for each in watched:
        each.page.context.close()
        each.check()


def note_stranger(seen: Watched, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in LOCAL:
        seen.strangers.append(url)


@pytest.fixture
def desk(fleet: Fleet, watch: Watch) -> Watched:
    """A page that is signed in to the cluster."""
    seen = watch(fleet.url)
    seen.sign_in()
    return seen


def wait_for(page: Page, script: str, argument: object = None) -> None:
    """Wait until a script says so; Playwright's own way needs eval, which the page forbids."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(script, argument):
        assert time.monotonic() < deadline, f"this did not come true: {script}"
        page.wait_for_timeout(100)


def find_barriers(page: Page) -> list[str]:
    """Return what axe-core finds that keeps people out."""
    results = Axe().run(page).response
    return [
        f"{found['id']}: {found['help']}: {found['nodes'][0]['html'][:200]}"
        for found in results["violations"]
        if found["impact"] in SERIOUS
    ]
