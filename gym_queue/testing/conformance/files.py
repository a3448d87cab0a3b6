"""Files copied into the sandbox and out of it, and a host that has no room for them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gym_queue.errors import GymQueueError, PathNotFound, RunnerFailed
from gym_queue.runners.base import Runner
from gym_queue.testing.conformance.subject import Cases, Start, output_of


class FileCases(Cases):
    """copy_to, copy_from."""

    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Iterator[Path]:
        """Give a folder on a disk of 4 MiB of its own."""
        if os.geteuid() != 0:
            pytest.skip("only root can mount a small disk to fill")
        disk = tmp_path / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "small", disk], check=True)
        yield disk
        subprocess.run(["umount", disk], check=True)

    def test_a_file_is_copied_in_and_out(self, runner: Runner, tmp_path: Path) -> None:
        (tmp_path / "in").write_bytes(b"\0bytes")
        runner.copy_to(tmp_path / "in", "new/folder/file")
        assert output_of(runner, "wc -c < ~/new/folder/file").strip() == "6"
        runner.copy_from("~/new/folder/file", tmp_path / "other" / "out")
        assert (tmp_path / "other" / "out").read_bytes() == b"\0bytes"

    def test_a_file_is_copied_into_a_folder_that_exists(self, runner: Runner, tmp_path: Path) -> None:
        (tmp_path / "name").write_text("held")
        output_of(runner, "mkdir -p there")
        runner.copy_to(tmp_path / "name", "there")
        assert output_of(runner, "cat there/name") == "held"

    def test_a_folder_is_copied_in_and_out(self, runner: Runner, tmp_path: Path) -> None:
        (tmp_path / "tree" / "sub").mkdir(parents=True)
        script = tmp_path / "tree" / "sub" / "run.sh"
        script.write_text("echo ran")
        script.chmod(0o755)
        runner.copy_to(tmp_path / "tree", "tree")
        assert output_of(runner, "tree/sub/run.sh") == "ran\n"
        runner.copy_from("tree", tmp_path / "back")
        assert (tmp_path / "back" / "sub" / "run.sh").read_text() == "echo ran"

    def test_a_large_file_comes_back_as_it_went(self, runner: Runner, tmp_path: Path) -> None:
        content = os.urandom(10 * 1024 * 1024)
        (tmp_path / "large").write_bytes(content)
        runner.copy_to(tmp_path / "large", "large")
        runner.copy_from("large", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content

    @pytest.mark.parametrize("name", ["with space", "-dash", "ünï漢", "a'b\"c$d"])
    def test_any_name_is_a_name(self, runner: Runner, tmp_path: Path, name: str) -> None:
        (tmp_path / "in").write_text("content")
        runner.copy_to(tmp_path / "in", name)
        runner.copy_from(name, tmp_path / "out")
        assert (tmp_path / "out").read_text() == "content"

    @pytest.mark.parametrize("path", ["link/file", "link", "tree"])
    def test_a_link_inside_never_leads_to_the_host(self, runner: Runner, tmp_path: Path, path: str) -> None:
        (tmp_path / "file").write_text("host's secret")
        output_of(runner, f"ln -s {tmp_path} link; mkdir tree; ln -s {tmp_path}/file tree/file")
        with suppress(GymQueueError):
            runner.copy_from(path, tmp_path / "stolen")
        assert not (tmp_path / "stolen").exists() or not _holds(tmp_path / "stolen", b"host's secret")
        (tmp_path / "in").write_text("overwritten")
        with suppress(GymQueueError):
            runner.copy_to(tmp_path / "in", "link/file")
        assert (tmp_path / "file").read_text() == "host's secret"

    def test_what_does_not_exist_cannot_be_copied(self, runner: Runner, tmp_path: Path) -> None:
        with pytest.raises(PathNotFound):
            runner.copy_to(tmp_path / "nothing", "x")
        with pytest.raises(PathNotFound):
            runner.copy_from("nothing", tmp_path / "x")

    def test_a_disk_of_the_host_that_is_full_is_said_and_hurts_nothing_else(
        self, start: Start, small_disk: Path
    ) -> None:
        runner = start()
        output_of(runner, "head -c 8000000 /dev/zero > large; echo small > small")
        with pytest.raises(RunnerFailed, match="No space left"):
            runner.copy_from("large", small_disk / "large")
        (small_disk / "large").unlink(missing_ok=True)
        runner.copy_from("small", small_disk / "small")
        assert (small_disk / "small").read_text() == "small\n"


def _holds(path: Path, content: bytes) -> bool:
    files = [each for each in path.rglob("*") if each.is_file() and not each.is_symlink()]
    if path.is_file() and not path.is_symlink():
        files.append(path)
    return any(content in each.read_bytes() for each in files)
