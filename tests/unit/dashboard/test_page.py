from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser

import pytest

from gym_queue.dashboard.pages import STATIC
from gym_queue.protocol.fleet import Heartbeat, Registration
from gym_queue.protocol.sessions import CreateRequest
from tests.unit.dashboard.masters import TOKEN

HTML, SCRIPT, STYLE = ((STATIC / name).read_text() for name in ("index.html", "app.js", "style.css"))


class _Page(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(HTML)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


PAGE = _Page()


def test_the_title_is_the_one_of_the_protocol():
    assert "<title>Gym-Anything Master Dashboard</title>" in HTML


def test_nothing_is_inline():
    assert not [tag for tag, _ in PAGE.elements if tag == "style"]
    assert all("src" in attributes for tag, attributes in PAGE.elements if tag == "script")
    names = {name for _, attributes in PAGE.elements for name in attributes}
    assert not [name for name in names if name == "style" or name.startswith("on")]


def test_nothing_comes_from_elsewhere():
    assert not re.search(r"https?:|//[a-z]|@import|url\(", HTML + STYLE)
    assert "import" not in SCRIPT


def test_outside_text_never_becomes_markup():
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(", SCRIPT)


def test_every_element_that_the_script_names_is_on_the_page():
    named = set(re.findall(r'(?:byId|section)\("([\w-]+)"', SCRIPT))
    assert named
    assert named <= {attributes.get("id") for _, attributes in PAGE.elements}


def test_every_table_has_headings():
    headings = [attributes for tag, attributes in PAGE.elements if tag == "th"]
    assert HTML.count("<table") == HTML.count("<thead>") == 5
    assert all(attributes == {"scope": "col"} for attributes in headings)


@pytest.mark.anyio
async def test_the_policy_forbids_inline_code_and_framing(browser):
    for path in ("/", "/dashboard", "/dashboard/app.js", "/dashboard/style.css"):
        policy = (await browser.get(path)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


@pytest.mark.anyio
async def test_the_assets_have_types_that_browsers_run(browser):
    types = [
        (await browser.get(f"/dashboard/{name}")).headers["content-type"] for name in ("app.js", "style.css")
    ]
    assert types == ["text/javascript; charset=utf-8", "text/css; charset=utf-8"]


@pytest.mark.anyio
async def test_the_master_answers_every_field_that_the_page_reads(parts, browser):
    create = asyncio.ensure_future(_busy_fleet(parts))
    await asyncio.sleep(0)
    browser.headers["Authorization"] = f"Bearer {TOKEN}"
    fleet, queue, tasks, envs = [
        (await browser.get(path)).json() for path in ("/workers/list", "/queue", "/api/tasks", "/envs/list")
    ]
    assert _read_by_page("fleet") | {"workers"} <= fleet.keys()
    assert _read_by_page("worker") <= fleet["workers"][0].keys()
    assert _read_by_page("create") <= queue["waiting"][0].keys()
    assert _read_by_page("task") <= tasks["latest"][0].keys()
    assert _read_by_page("tasks") - {"body"} <= tasks["workers"]["gym@w1"].keys()
    assert _read_by_page("env") <= envs["environments"]["e1"].keys()
    assert set(re.findall(r'<th scope="col">([A-Z]{2,})</th>', HTML)) - {"CPU"} == tasks["counts"].keys()
    create.cancel()


def _read_by_page(name: str) -> set[str]:
    found = set(re.findall(rf"\b{name}\??\.(\w+)", SCRIPT))
    assert found, name
    return found


async def _busy_fleet(parts) -> None:
    metadata = {"available_runners": ["local"]}
    parts.fleet.register(
        Registration(worker_id="w1", url="http://127.0.0.1:9", max_envs=1, metadata=metadata)
    )
    parts.fleet.heartbeat(Heartbeat(worker_id="w1", env_ids=["e1"]))
    parts.tasks.take({"type": "task-received", "uuid": "t1", "hostname": "gym@w1", "timestamp": 1.0})
    await parts.creates.create(CreateRequest(env_dir="x", env_id="waits"))
