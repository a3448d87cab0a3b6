from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gym_queue.cli.image import MIB
from gym_queue.cli.main import app
from gym_queue.errors import GymQueueError, PathNotFound, RequestInvalid, RunnerFailed
from gym_queue.runners.qemu.booted import BOOTED, BootedMachines, prefix_of
from gym_queue.runners.qemu.snapshots import Snapshot

pytestmark = pytest.mark.needs("qemu-img")


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["image", *words, "--image-dir", str(folder)], catch_exceptions=False)


def freeze_2_mib(snapshot: Snapshot) -> None:
    snapshot.ram.write_bytes(b"x" * 2 * MIB)
    snapshot.disk.touch()
    snapshot.state.touch()
    snapshot.finish("kind")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "1G"], check=True)
    return path


def test_an_image_is_imported_listed_verified_and_removed(tmp_path: Path, disk: Path) -> None:
    folder = tmp_path / "images"
    assert "gym-anything image build debian-x11" in run(folder, "list").stdout
    imported = run(folder, "import", str(disk), "--name", "win", "--os-type", "windows", "--firmware", "uefi")
    assert imported.exit_code == 0
    assert imported.stdout.startswith("win: sha256:")
    assert f"copying {disk}" in "".join(imported.stderr.splitlines())
    heading, row = run(folder, "list").stdout.splitlines()
    assert heading.split()[:4] == ["name", "os", "architecture", "firmware"]
    assert row.split()[:7] == ["win", "windows", "x86_64", "uefi", "0", "1.0", "0"]
    (told,) = json.loads(run(folder, "list", "--json").stdout)
    assert told["name"] == "win"
    assert told["kernel"] is None
    assert Path(told["disk"]).is_file()
    assert run(folder, "verify", "win").stdout == imported.stdout
    assert run(folder, "remove", "win").stdout == "removed win\n"
    assert json.loads(run(folder, "list", "--json").stdout) == []


def test_what_is_kept_of_machines_that_have_booted_is_told_and_forgotten(tmp_path: Path, disk: Path) -> None:
    folder = tmp_path / "images"
    run(folder, "import", str(disk), "--name", "mine")
    (image,) = json.loads(run(folder, "list", "--json").stdout)
    booted = BootedMachines(folder / BOOTED)
    booted.get(f"{prefix_of(image['digest'])}-kind", 0, freeze_2_mib)
    booted.get(f"{'0' * 16}-kind", 0, freeze_2_mib)
    (told,) = json.loads(run(folder, "list", "--json").stdout)
    assert 2 * MIB <= told["booted_bytes"] < 3 * MIB
    assert run(folder, "list").stdout.splitlines()[1].split()[6] == "2"
    assert run(folder, "forget", "mine").stdout == "forgot the machines that have booted from mine, 2 MiB\n"
    assert json.loads(run(folder, "list", "--json").stdout)[0]["booted_bytes"] == 0
    assert [each.name for each in (folder / BOOTED).glob("0*")] == [f"{'0' * 16}-kind"]


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["build", "windows"], RequestInvalid, "only debian-x11"),
        (["import", "nowhere.qcow2", "--name", "x"], PathNotFound, "nowhere.qcow2 cannot be read"),
        (["import", "x", "--name", "a b"], RequestInvalid, "is no name of an image"),
        (["forget", "x"], RunnerFailed, "there is no VM image x"),
        (["remove", "x"], RunnerFailed, "there is no VM image x"),
        (["verify", "x"], RunnerFailed, "there is no VM image x"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, words: list[str], error: type[GymQueueError], said: str
) -> None:
    with pytest.raises(error, match=said):
        run(tmp_path / "images", *words)


@pytest.mark.parametrize("words", [["import", "x", "--name", "n", "--os-type", "beos"], ["import", "x"]])
def test_a_wrong_flag_is_usage(tmp_path: Path, words: list[str]) -> None:
    assert run(tmp_path, *words).exit_code == 2
