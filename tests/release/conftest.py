"""What is released, built once, and an environment that holds nothing but that; shared by all of pytest's processes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.conftest import Place
from tests.acceptance.conftest import place as place

ROOT = Path(__file__).parents[2]
RUN_S = 200
OURS = ("GYM_", "PYTHON", "VIRTUAL_ENV", "COVERAGE")
"""What variables begin with that would tell a program of this tree."""


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, what it asks for, and no more: not even pip."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, place: Place, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs in an empty folder."""
        empty = place.folder / "empty"
        empty.mkdir(exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            cwd=empty,
            env={**inherited, **place.variables, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the source archive and the wheel that was built from it."""
    return _once(tmp_path_factory, "dist", lambda folder: build(folder))


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    def install(folder: Path) -> None:
        run(sys.executable, "-m", "venv", "--without-pip", str(folder))
        pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"))
        pinned = ("--constraint", str(ROOT / "constraints.txt"))
        run(*pip, "install", "--quiet", "--no-compile", "--disable-pip-version-check", *pinned, str(wheel))

    return Installed(_once(tmp_path_factory, "installed", install))


def build(folder: Path, *options: str) -> None:
    """Build what is released, with the tools that are installed here."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), *options, str(ROOT))


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of a name, made by the first of pytest's processes that asks for it."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    done = base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(base / name)
            done.touch()
    return base / name
