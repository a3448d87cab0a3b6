"""The page's own modules: each loads, and what one offers another uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gym_queue.dashboard.pages import STATIC
from gym_queue.testing import Fleet
from tests.browser.conftest import Watched

MODULES = sorted(path for path in STATIC.rglob("*.js") if "vendor" not in path.parts)
EXPORT = re.compile(r"^export (?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
IMPORT = re.compile(r"^import (?:\{([^}]*)\}|(\w+)) from \"([^\"]+)\";", re.MULTILINE)


NAMED = re.compile(r"import\(\"[^\"]+\"\)\.(\w+)")
"""A type in a comment."""


def imports(path: Path) -> list[tuple[Path, str, str]]:
    """Return what a module imports: whence, the name there and the name here."""
    found = []
    for many, one, source in IMPORT.findall(path.read_text()):
        for each in (many or one).split(","):
            if names := each.split():
                found.append(((path.parent / source).resolve(), names[0], names[-1]))
    return found


@pytest.mark.needs("chromium", "redis-server")
def test_every_module_loads(fleet: Fleet, desk: Watched) -> None:
    page = desk.open("overview")
    for path in MODULES:
        name = path.relative_to(STATIC).as_posix()
        page.evaluate("url => import(url)", f"{fleet.url}/dashboard/{name}")


def test_what_a_module_exports_another_imports() -> None:
    used = {(source, name) for path in MODULES for source, name, _here in imports(path)}
    types = {name for path in MODULES for name in NAMED.findall(path.read_text())}
    unused = [
        f"{path.relative_to(STATIC)}: {name}"
        for path in MODULES
        for name in EXPORT.findall(path.read_text())
        if name != "mount" and name not in types and (path.resolve(), name) not in used
    ]
    assert unused == []


def test_what_a_module_imports_it_uses() -> None:
    unused = [
        f"{path.relative_to(STATIC)}: {here}"
        for path in MODULES
        for _source, _name, here in imports(path)
        if len(re.findall(rf"\b{here}\b", path.read_text())) < 2
    ]
    assert unused == []
