from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from gym_queue.dashboard.pages import ASSETS, STATIC
from gym_queue.names import RUNNERS

HTML = (STATIC / "index.html").read_text()
OURS = sorted(name for name in ASSETS if not name.startswith("vendor/"))
MODULES = [name for name in OURS if name.endswith(".js")]
STYLES = [name for name in OURS if name.endswith(".css")]
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser")


class _Page(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(HTML)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


PAGE = _Page()


def _read(name: str) -> str:
    return (STATIC / name).read_text()


def test_the_title_is_the_one_of_the_protocol():
    assert "<title>Gym-Anything Master Dashboard</title>" in HTML


def test_nothing_is_inline():
    assert not [tag for tag, _ in PAGE.elements if tag == "style"]
    assert all("src" in attributes for tag, attributes in PAGE.elements if tag == "script")
    names = {name for _, attributes in PAGE.elements for name in attributes}
    assert not [name for name in names if name == "style" or name.startswith("on")]


def test_all_that_the_page_names_is_served():
    named = re.findall(r'(?:src|href)="dashboard/([^"]+)"', HTML)
    assert "app.js" in named
    assert set(named) <= ASSETS


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_what_ships_alone(name):
    folder = (STATIC / name).parent
    for target in re.findall(r'(?:from|import\()\s*"([^"]+)"', _read(name)):
        assert (folder / target).resolve().is_relative_to(STATIC), target
        assert (folder / target).is_file(), target


@pytest.mark.parametrize("name", MODULES)
def test_outside_text_never_becomes_markup(name):
    assert not MARKUP.search(_read(name))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_stays_short(name):
    assert len(_read(name).splitlines()) <= 300


@pytest.mark.parametrize("name", STYLES)
def test_a_style_asks_for_nothing_elsewhere(name):
    assert not re.search(r"https?:|//[a-z]|@import|url\(", _read(name))


def test_every_view_of_the_navigation_exists():
    views = re.findall(r"^  (\w+): \{ label", _read("views.js"), re.MULTILINE)
    assert {"overview", "workers", "tasks", "queue", "broker", "environments", "episodes"} <= set(views)
    assert {f"views/{view}.js" for view in views} <= ASSETS


def test_the_runners_to_choose_from_are_those_that_exist():
    offered = re.search(r"RUNNERS = \[([^\]]+)\]", _read("parts.js"))
    assert offered
    assert set(re.findall(r'"(\w+)"', offered[1])) == set(RUNNERS)


def test_what_is_vendored_keeps_its_licence():
    folders = [folder for folder in (STATIC / "vendor").iterdir() if folder.is_dir()]
    assert folders
    assert all(list(folder.glob("LICENSE*")) for folder in folders)


@pytest.mark.anyio
async def test_the_policy_forbids_inline_code_and_framing(browser):
    for path in ("/", "/dashboard", "/dashboard/app.js", "/dashboard/style.css"):
        policy = (await browser.get(path)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


@pytest.mark.anyio
async def test_the_assets_have_types_that_browsers_run(browser):
    for name in ASSETS:
        reply = await browser.get(f"/dashboard/{name}")
        due = {"js": "text/javascript", "css": "text/css"}.get(name.rpartition(".")[2])
        assert reply.status_code == 200, name
        assert due is None or reply.headers["content-type"] == f"{due}; charset=utf-8"


@pytest.mark.anyio
async def test_a_browser_that_has_a_file_is_told_so(browser):
    for path in ("/dashboard", "/dashboard/app.js"):
        first = await browser.get(path)
        assert first.headers["cache-control"] == "no-cache"
        again = await browser.get(path, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert (await browser.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["nope.js", "../pages.py", "%2e%2e/pages.py", "views", "index.html"])
async def test_nothing_but_the_pages_files_is_served(browser, name):
    assert (await browser.get(f"/dashboard/{name}")).status_code in (401, 404)
