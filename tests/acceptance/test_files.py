"""Large files through a whole fleet: the programs pass them on, and keep none of them in memory."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from gym_queue import RemoteGymEnv
from gym_queue.errors import TooLarge
from gym_queue.settings import find_token
from gym_queue.testing import Fleet
from tests.acceptance.conftest import Place, fleet_at
from tests.waiting import wait_until

MIB = 1 << 20
SIZE = 64 * MIB
ROOM = 24 * MIB
"""What a program may take beside the file: buffers, and modules that are loaded at first use."""
SPEC = {
    "id": "files",
    "runner": "fake",
    "observation": [{"type": "cli_stdout"}],
    "action": [{"type": "keyboard"}],
}


@pytest.fixture
def fleet(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("GYM_ANYTHING_WORKER_COPY_GB", str(SIZE / 2**30))
    with fleet_at(place, workers=1, worker_arguments=("--runners", "fake")) as running:
        yield running
    place.wait_empty()


@pytest.fixture
def env(fleet: Fleet) -> Iterator[RemoteGymEnv]:
    with RemoteGymEnv.make(fleet.url, SPEC) as env:
        env.reset()
        yield env


def peaks(fleet: Fleet) -> dict[str, int]:
    """Return the most memory that the programs, this one too, have had since they started, in bytes."""
    assert fleet.master is not None
    processes = {
        "master": fleet.master.process.pid,
        "worker": fleet.workers[0].process.pid,
        "client": os.getpid(),
    }
    return {name: _peak(pid) for name, pid in processes.items()}


def _peak(pid: int) -> int:
    (line,) = [
        each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM")
    ]
    return int(line.split()[1]) << 10


@pytest.mark.slow
@pytest.mark.skipif(not psutil.LINUX, reason="the most memory a process had is read from /proc")
def test_64_mib_go_up_and_down_without_anybody_keeping_them_in_memory(
    fleet: Fleet, env: RemoteGymEnv, tmp_path: Path
) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    digest = hashlib.sha256()
    with source.open("wb") as file:
        for _ in range(SIZE // MIB):
            part = os.urandom(MIB)
            digest.update(part)
            file.write(part)
    (tmp_path / "small").write_bytes(b"x" * MIB)
    env.upload(tmp_path / "small", "small")  # what loads at first use is loaded
    env.download("small", tmp_path / "small")
    before = peaks(fleet)
    env.upload(source, "data/large")
    env.download("data/large", back)
    grown = {name: size - before[name] for name, size in peaks(fleet).items()}
    with back.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest.digest()
    assert max(grown.values()) < ROOM, grown


@pytest.mark.slow
def test_the_quota_holds_through_the_master(fleet: Fleet, env: RemoteGymEnv, tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(SIZE + 1)
    with pytest.raises(TooLarge) as refused:
        env.upload(tmp_path / "huge", "huge")
    assert refused.value.details["max_bytes"] == SIZE
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(5)
    env.upload(tmp_path / "huge", "huge")


@pytest.mark.slow
def test_an_upload_that_a_client_breaks_off_leaves_nothing(
    fleet: Fleet, env: RemoteGymEnv, place: Place
) -> None:
    where = urlsplit(fleet.url)
    head = f"PUT /envs/{env.env_id}/files?path=half HTTP/1.1\r\nHost: m\r\nContent-Length: {SIZE}\r\n"
    with socket.create_connection((where.hostname, where.port), 10) as sock:
        sock.sendall(f"{head}Authorization: Bearer {find_token()}\r\n\r\n".encode() + b"x" * (4 * MIB))
        wait_until(lambda: list(place.folder.glob("**/transfer-*/half")))
    wait_until(lambda: not list(place.folder.glob("**/transfer-*")))
    assert not list(place.folder.glob("**/home/half"))
