"""What is in the source archive and the wheel, and what they say of themselves."""

from __future__ import annotations

import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from gym_queue.version import __version__
from tests.release.conftest import ROOT, build

MOST_BYTES = 3_000_000
LICENCES = ("LICENSE", "AUTHORS", "COPYING", "NOTICE")
LEFT_BEHIND = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache")


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def package_files() -> set[str]:
    """Return the files of the package in this tree, without what running it leaves behind."""
    found = [path for path in (ROOT / "gym_queue").rglob("*") if path.is_file()]
    kept = [path.relative_to(ROOT) for path in found if "__pycache__" not in path.parts]
    return {path.as_posix() for path in kept if not set(LEFT_BEHIND) & set(path.parts)}


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Metadata:
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(f"gym_queue-{__version__}.dist-info/METADATA")
    return Metadata.from_email(content)  # raises for every field that an index would refuse


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    inside = {name for name in names(wheel) if ".dist-info/" not in name}
    assert inside == package_files() | {"gym_anything.py"}
    assert wheel.stat().st_size < MOST_BYTES


@pytest.mark.parametrize(
    "needed",
    [
        "gym_queue/py.typed",
        "gym_queue/benchmark/report/static/page.html",
        "gym_queue/dashboard/static/index.html",
        "gym_queue/dashboard/static/views/overview.js",
        "gym_queue/dashboard/static/vendor/novnc/core/rfb.js",
        "gym_queue/runners/local/fonts/DejaVuSansMono.ttf",
        "gym_queue/environments/terminal_env/tasks/largest_file/solution.json",
        "gym_queue/environments/presets/x11_lite/Dockerfile",
        "gym_queue/runners/qemu/images/recipes/debian_x11/dpkg.cfg",
        "gym_queue/runners/qemu/images/recipes/debian_x11/files/usr/local/lib/desktop/session",
    ],
)
def test_files_that_are_no_modules_are_in_the_wheel(wheel: Path, needed: str) -> None:
    assert needed in names(wheel)


def test_every_licence_in_the_package_is_among_the_wheels_licences(wheel: Path) -> None:
    ours = {name for name in package_files() if Path(name).name.startswith(LICENCES)}
    said = {name.partition("/licenses/")[2] for name in names(wheel) if "/licenses/" in name}
    assert said == ours | {"LICENSE"}


def test_the_source_archive_builds_the_wheel_that_the_tree_builds(wheel: Path, tmp_path: Path) -> None:
    build(tmp_path, "--wheel")
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_source_archive_holds_docs_and_tests_and_nothing_that_was_left_behind(dist: Path) -> None:
    with tarfile.open(dist / f"gym_queue-{__version__}.tar.gz") as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "CHANGELOG.md", "LICENSE", "docs/wire.md", "tests/conftest.py"} <= inside
    assert not [name for name in inside if {"__pycache__", ".venv", *LEFT_BEHIND} & set(name.split("/"))]
    assert (dist / f"gym_queue-{__version__}.tar.gz").stat().st_size < 2 * MOST_BYTES


def test_the_wheel_says_its_version_readme_and_extras(metadata: Metadata) -> None:
    assert str(metadata.version) == __version__
    assert (metadata.description_content_type, metadata.description) == (
        "text/markdown",
        (ROOT / "README.md").read_text(),
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(metadata.provides_extra or ()) == set(project["optional-dependencies"])
    assert "Typing :: Typed" in (metadata.classifiers or ())


def test_the_changelogs_newest_section_is_this_version_or_not_released_yet() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    released = [heading.split(" ")[0] for heading in headings if heading != "Unreleased"]
    assert headings[0] == "Unreleased" or released[0] == __version__
    assert len(released) == len(set(released))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", each) for each in headings[1:])


@pytest.mark.parametrize("page", ["README.md", "Dockerfile", "docker-compose.yml", "docs"])
def test_no_page_names_another_version_of_the_package(page: str) -> None:
    pages = (ROOT / page).rglob("*.md") if (ROOT / page).is_dir() else [ROOT / page]
    told = {
        version
        for path in pages
        for version in re.findall(r"gym[-_]queue(?:==|:|-| )v?(\d+\.\d+\.\d+)", path.read_text())
    }
    assert told <= {__version__}
