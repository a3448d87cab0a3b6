"""The pages of reference are what the code has, and complete."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import typer

from gym_queue.cli import main
from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
VARIABLE = re.compile(r"[\"'`]((?:GYM_ANYTHING|VLM)_[A-Z_]+)[\"'`]")
OURS_ALONE = frozenset({"GYM_ANYTHING_MASTER_", "GYM_ANYTHING_WORKER_", "GYM_ANYTHING_VLM_", "VLM_"})
"""Beginnings of names."""
NO_MEANING = re.compile(r"\|  \|$", re.MULTILINE)
THERE = re.compile(r"`([a-z ]+?)(?: (--?[a-z_-]+))?`")


def test_the_pages_are_as_the_code_has_them() -> None:
    checked = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        env={"COLUMNS": "40", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("page", sorted(REFERENCE.glob("*.md")), ids=lambda page: page.name)
def test_every_flag_setting_and_field_has_a_meaning(page: Any) -> None:
    assert NO_MEANING.findall(page.read_text()) == []


def test_every_variable_that_the_package_reads_is_on_the_page() -> None:
    page = (REFERENCE / "settings.md").read_text()
    sources = [path.read_text() for path in (ROOT / "gym_queue").rglob("*.py")]
    read = {name for source in sources for name in VARIABLE.findall(source)} - OURS_ALONE
    covered = {name for name in read if name.startswith(("GYM_ANYTHING_VLM_CHECKLIST_", "VLM_"))}
    assert [name for name in sorted(read - covered) if f"`{name}`" not in page] == []


def flags_there() -> list[tuple[str, str, bool]]:
    """Return each command and flag of Gym-Anything that the page names, and whether it says that it is here."""
    rows = (ROOT / "docs/from-gym-anything.md").read_text().partition("## Commands")[2].splitlines()
    cells = [row.split(" | ") for row in rows if row.startswith("| `")]
    return [
        (command, flag, "not here" not in here.split(";")[0])
        for there, here in cells
        for command, flag in THERE.findall(there)
    ]


@pytest.mark.parametrize(("command", "flag", "is_here"), flags_there())
def test_a_flag_of_gym_anything_is_here_where_the_page_says_so(
    command: str, flag: str, is_here: bool
) -> None:
    found: Any = typer.main.get_command(main.app)
    for word in command.split():
        found = found.commands[word]
    if flag:
        flags = {each for parameter in found.params for each in parameter.opts}
        assert (flag in flags) == is_here
