from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import psutil
import pytest

from gym_queue.worker.cleanup import kill_trees, remove_tree


def test_a_tree_without_any_rights_is_removed(tmp_path: Path) -> None:
    deep = tmp_path / "top" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    for folder in (deep, deep.parent, deep.parent.parent):
        folder.chmod(0)
    remove_tree(tmp_path / "top")
    assert not (tmp_path / "top").exists()


def test_links_are_removed_and_what_they_point_to_is_not_touched(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    outside.chmod(0o755)
    (outside / "file").chmod(0o640)
    top = tmp_path / "top"
    top.mkdir()
    (top / "folder_link").symlink_to(outside)
    (top / "file_link").symlink_to(outside / "file")
    top.chmod(0o500)
    remove_tree(top)
    assert not top.exists()
    assert (outside / "file").read_text() == "x"
    assert [stat.S_IMODE(each.stat().st_mode) for each in (outside, outside / "file")] == [0o755, 0o640]


def test_removing_what_is_not_there_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    remove_tree(tmp_path / "missing")
    assert caplog.records == []


def test_a_process_is_killed_with_its_descendants_and_gone_ones_are_passed_over() -> None:
    script = "sleep 1000 & sleep 1000 & echo ready; wait"
    with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        root = psutil.Process(shell.pid)
        family = [root, *root.children()]
        kill_trees([root])
        assert shell.wait(5) == -9
        psutil.wait_procs(family, timeout=5)
        kill_trees([root])
    assert len(family) == 3
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family)
