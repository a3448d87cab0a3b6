"""The image of the tree's Dockerfile, and those it is made from, of this machine's own packages."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.conftest import ROOT, lacking

IMAGES = Path(__file__).with_name("images")
DEBIAN, PYTHON, WHEELS, REDIS, SYSTEMD = (
    f"gym-queue-test/{name}:bookworm" for name in ("debian", "python", "wheels", "redis", "systemd")
)
FLEET = "gym-queue-test/gym-queue:local"
BUILD_S = 300


def run(command: list[str], timeout_s: float = 120, cwd: Path = ROOT, **variables: str) -> str:
    """Return what a command says; it must succeed."""
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **variables},
        cwd=cwd,
    )
    assert ran.returncode == 0, f"{' '.join(command)}: {ran.stdout[-4000:]}{ran.stderr[-4000:]}"
    return ran.stdout


def build_fleet_image() -> None:
    """Build the image of the tree, with Debian's Python for python:slim and a folder for the package index."""
    if sys.version_info[:2] != (3, 11):
        lacking("the image is Debian's, with Python 3.11, and takes this interpreter's packages", "docker")
    if subprocess.run(["docker", "image", "inspect", DEBIAN], capture_output=True, check=False).returncode:
        lacking(f"there is no image {DEBIAN}: run tests/images/build.sh base", "docker")
    with _alone():
        build(PYTHON, IMAGES / "python.Dockerfile", IMAGES)
        build(WHEELS, IMAGES / "wheels.Dockerfile", _wheels())
        build(FLEET, ROOT / "Dockerfile", ROOT, f"BASE={PYTHON}", f"BUILDER={WHEELS}")


def build(image: str, dockerfile: Path, context: Path, *arguments: str) -> None:
    """Build one image; what did not change is not built again."""
    given = [f"--build-arg={each}" for each in arguments]
    run(
        ["docker", "build", "--quiet", f"--tag={image}", f"--file={dockerfile}", *given, str(context)],
        timeout_s=BUILD_S,
    )


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process build at a time: the next finds it done."""
    with (Path(tempfile.gettempdir()) / "gym-queue-test-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _wheels() -> Path:
    """Return a folder of the packages that the Dockerfile asks for, by this machine's own pip: containers reach no index.

    It is kept, as long as the same ones are wanted.
    """
    wanted = (ROOT / "pyproject.toml").read_text()
    digest = hashlib.sha256((wanted + (ROOT / "constraints.txt").read_text()).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("GYM_QUEUE_IMAGE_CACHE") or Path.home() / ".cache" / "gym-queue-test")
    folder = cache / f"wheels-{digest}"
    if not folder.exists():
        for old in cache.glob("wheels-*"):
            shutil.rmtree(old)
        _bring_wheels(tomllib.loads(wanted)["project"], staged := cache / "wheels-staged")
        staged.rename(folder)
    return folder


def _bring_wheels(project: Mapping[str, Any], folder: Path) -> None:
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["docker"], *extras["otel"], "hatchling"]
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder)]
    run([*pip, "--constraint", str(ROOT / "constraints.txt"), *wanted], timeout_s=BUILD_S)
    run([*pip, "--no-deps", "async-timeout"])  # redis wants it of Pythons before 3.11.3, as Debian's is
