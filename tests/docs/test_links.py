"""No link of a page leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors_of, links_of, name_of


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target in links_of(page):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        assert aim.exists(), f"{name_of(page)} links {target}"
        if anchor and aim.suffix == ".md":
            assert anchor in anchors_of(aim), f"{name_of(page)} links {target}: there is no such heading"


def test_every_page_can_be_found_from_the_index() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page not in seen:
            seen.add(page)
            targets = [target.partition("#")[0] for target in links_of(page) if "://" not in target]
            todo += [(page.parent / target).resolve() for target in targets if target.endswith(".md")]
    assert [name_of(page) for page in PAGES if page not in seen] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"\btests/[\w/]+\.(?:py|sh)\b", page.read_text())
    assert [path for path in named if not (ROOT / path).is_file()] == []
