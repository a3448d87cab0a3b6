"""One cluster for the pages that ask a running one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gym_queue.testing import Fleet, FleetSetup


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for all pages, with a token, state and caches of its own."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GYM_ANYTHING_TOKEN_FILE", str(folder / "token"))
        for name in ("STATE", "CONFIG", "CACHE"):
            patch.setenv(f"XDG_{name}_HOME", str(folder / name.lower()))
        yield folder


@pytest.fixture(scope="module")
def fleet(place: Path) -> Iterator[Fleet]:
    with Fleet(FleetSetup(workers=2, worker_arguments=("--env-root", str(place)))) as running:
        yield running
