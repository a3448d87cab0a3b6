"""The certificates that the lines of docs/deploy/tls.md make carry a fleet."""

from __future__ import annotations

from pathlib import Path

import pytest

from gym_queue.client import RemoteGymEnv
from tests.acceptance.conftest import Place, fleet_at
from tests.deploy.conftest import DOCS, blocks_of
from tests.deploy.containers import run

pytestmark = [pytest.mark.slow, pytest.mark.needs("openssl")]


def flags_of(folder: Path, name: str) -> list[str]:
    files = {"certfile": f"{name}.pem", "keyfile": f"{name}.key", "ca": "ca.pem"}
    return [f"--ssl-{flag}={folder / file}" for flag, file in files.items()]


def test_certificates_made_by_the_page_carry_a_fleet(place: Place) -> None:
    (script,) = blocks_of(DOCS / "tls.md", "test_tls.py")
    run(["bash", "-euc", script], cwd=place.folder)
    assert (place.folder / "master.key").stat().st_mode & 0o077 == 0
    ends = {f"{end}_arguments": flags_of(place.folder, end) for end in ("master", "worker")}
    with fleet_at(place, workers=1, **ends) as fleet:
        assert fleet.url.startswith("https://")
        with RemoteGymEnv.from_config(
            fleet.url, "terminal_env", task_id="largest_file", ssl_ca=place.folder / "ca.pem"
        ) as env:
            assert "screen" in env.reset()
    place.wait_empty()
