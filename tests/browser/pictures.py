"""Takes the pictures of docs/dashboard.md: ``python -m tests.browser.pictures docs/dashboard``.

Every view in light, dark and at a phone's width; of a full cluster, an empty one and one whose master has gone.
"""

from __future__ import annotations

import io
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from gym_queue.testing import Fleet, FleetSetup
from tests.browser.scene import Door

TOKEN = "a-token-of-the-pictures"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
SETTLE_MS = 3500
"""Thumbnails and charts come a moment after their page."""
COLOURS = 128
"""Of a picture's palette: what keeps it small."""
LISTS = ("overview", "workers", "tasks", "queue", "broker", "environments", "episodes")


def main(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = shutil.which("chromium") or sys.exit("chromium is not on PATH: install Debian's chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        with Fleet(FleetSetup(workers=3, max_envs=2, variables={"GYM_ANYTHING_TOKEN": TOKEN})) as fleet:
            take(browser, fleet.url, folder, "empty", LISTS)
            with full_house(Door(fleet.url, TOKEN)) as places:
                take(browser, fleet.url, folder, "full", LISTS, places)
            with page_of(browser, fleet.url, DESK, "light") as page:
                show(page, fleet.url, "overview", {})
                fleet.kill_master()
                page.wait_for_timeout(6000)
                save(page, folder / "broken-overview-light.png")
            fleet.restart_master()


def take(
    browser: Browser,
    url: str,
    folder: Path,
    what: str,
    views: tuple[str, ...],
    places: dict[str, dict[str, str]] | None = None,
) -> None:
    """Take pictures of the views, and of the places that need more than a name."""
    looks = [("light", DESK, "light"), ("dark", DESK, "dark"), ("phone", PHONE, "light")]
    for name, size, scheme in looks if places else looks[:1]:
        with page_of(browser, url, size, scheme) as page:
            for view in views:
                show(page, url, view, {})
                save(page, folder / f"{what}-{view}-{name}.png")
            for place, params in (places or {}).items():
                show(page, url, place, params)
                save(page, folder / f"{what}-{place}-{name}.png")


@contextmanager
def page_of(browser: Browser, url: str, size: dict[str, int], scheme: str) -> Iterator[Page]:
    """A signed-in page."""
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]  # two of its words
    page = context.new_page()
    page.goto(f"{url}/dashboard?token={TOKEN}")
    yield page
    context.close()


def show(page: Page, url: str, view: str, params: dict[str, str]) -> None:
    """Go to a view and let it come to rest."""
    query = "&".join(f"{key}={value}" for key, value in {"view": view, **params}.items())
    page.goto(f"{url}/dashboard?{query}")
    page.wait_for_timeout(SETTLE_MS)


def save(page: Page, path: Path) -> None:
    """Write a picture with a palette: a third of the bytes."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(COLOURS).save(path, optimize=True)
    sys.stdout.write(f"{path.name}: {path.stat().st_size // 1024} KiB\n")


@contextmanager
def full_house(door: Door) -> Iterator[dict[str, dict[str, str]]]:
    """A busy cluster; yields the places worth a picture of their own: view → the parameters in its URL."""
    for task, script in [("largest_file", "steps"), ("top_ip", "wrong"), ("permissions", "steps")]:
        door.play(task, script)
    door.post("/envs/create", {"env_id": "kiosk-1", "env_spec": {"id": "kiosk", "runner": "local"}})
    with ExitStack() as stack:
        desktop = stack.enter_context(door.desktop())
        driven = stack.enter_context(door.driven())
        for task in ("clean_csv", "find_replace", "archive", "merge_conflict"):
            stack.enter_context(door.terminal(task))
        stack.enter_context(door.waiting("waits-for-a-slot"))
        stack.enter_context(door.waiting("waits-too"))
        time.sleep(25)  # two samples of the charts
        played = ask(door, "/api/episodes?outcome=passed")["rows"][0]
        yield {
            "environment": {"env": desktop.env_id},
            "drive": {"view": "environment", "env": driven.env_id, "drive": "1"},
            "episode": {"worker": played["worker_id"], "env": played["env_id"], "episode": played["episode"]},
        }


def ask(door: Door, path: str) -> dict[str, list[dict[str, str]]]:
    """Return what the master answers."""
    reply = httpx.get(door.url + path, headers={"Authorization": f"Bearer {door.token}"}, timeout=30)
    reply.raise_for_status()
    found: dict[str, list[dict[str, str]]] = reply.json()
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
