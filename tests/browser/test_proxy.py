"""The page behind nginx, below a prefix of its own, as docs/dashboard.md shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from gym_queue.stress.nginx import Nginx
from gym_queue.testing import Fleet
from tests.browser.conftest import TOKEN, Watch, Watched, wait_for
from tests.browser.scene import Door

pytestmark = pytest.mark.needs("chromium", "redis-server", "nginx")

UPGRADES = "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }"
LOCATION = """
location = /gym { return 302 /gym/dashboard; }
location /gym/ {
    proxy_pass MASTER/;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_read_timeout 900s;
    client_max_body_size 0;
}
"""


@pytest.fixture(scope="module")
def url(fleet: Fleet) -> Iterator[str]:
    """Where nginx serves the master."""
    with Nginx([LOCATION.replace("MASTER", fleet.url)], upstreams=UPGRADES) as nginx:
        yield f"{nginx.urls[0]}/gym"


@pytest.fixture
def proxied(url: str, watch: Watch) -> Watched:
    """A page behind nginx that is signed in by the form."""
    seen = watch(url)
    seen.page.goto(url)
    seen.page.get_by_label("The cluster's token").fill(TOKEN)
    seen.page.get_by_role("button", name="Sign in").click()
    expect(seen.page.get_by_text("live", exact=True)).to_be_visible()
    return seen


def test_every_view_is_shown_and_told_of_changes_at_once(fleet: Fleet, proxied: Watched) -> None:
    for view in ("overview", "tasks", "queue", "broker", "episodes"):
        page = proxied.open(view)
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        expect(page.locator("main").get_by_role("alert").filter(has_text="Not shown")).to_have_count(0)
    page = proxied.open("environments")
    expect(page.get_by_text("No environment yet")).to_be_visible()
    with Door(fleet.url, TOKEN).terminal():
        expect(page.get_by_role("listitem").filter(has_text="largest_file")).to_be_visible()
        wait_for(page, "[...document.querySelectorAll('main canvas')].some(each => each.width > 1)")


def test_a_link_with_a_token_stays_below_the_prefix(url: str, watch: Watch) -> None:
    page = watch(url).sign_in()
    expect(page).to_have_url(re.compile("/gym/dashboard"))
    expect(page.get_by_text("live", exact=True)).to_be_visible()


def test_a_worker_is_drained_from_behind_nginx(fleet: Fleet, proxied: Watched) -> None:
    page = proxied.open("workers", open="worker-1")
    drawer = page.get_by_role("dialog", name="Worker worker-1")
    for act, status in (("Drain", "draining"), ("Undrain", "healthy")):
        drawer.get_by_role("button", name=act, exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name=act, exact=True).last.click()
        expect(drawer).to_contain_text(status)


@pytest.mark.needs("Xvfb", "xterm", "x11vnc")
def test_a_screen_is_taken_over_through_nginx(fleet: Fleet, proxied: Watched) -> None:
    with Door(fleet.url, TOKEN).desktop() as env:
        page = proxied.open("environment", env=env.env_id)
        page.get_by_role("button", name=re.compile("VNC")).click()
        expect(page.get_by_text("Connected: you look only")).to_be_visible()
