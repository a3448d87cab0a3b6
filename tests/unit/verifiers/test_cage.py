"""Unit tests: what of a folder is open to everybody, while it changes."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from gym_queue.verifiers.cage import _open_parts


@contextmanager
def churn(folder):
    """Make and remove files in a folder for the length of a block."""
    over = threading.Event()

    def work():
        while not over.is_set():
            locks = [folder / f"lock.{number}" for number in range(50)]
            for lock in locks:
                lock.touch()
            for lock in locks:
                lock.unlink()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_folder_in_which_files_come_and_go_is_read(tmp_path):
    (tmp_path / "open").touch(mode=0o644)
    (tmp_path / "closed").touch(mode=0o600)
    with churn(tmp_path):
        for _ in range(500):
            parts, is_whole = _open_parts(str(tmp_path))
            assert str(tmp_path / "open") in parts
            assert str(tmp_path / "closed") not in parts
            assert not is_whole


def test_a_folder_that_is_gone_has_no_open_parts(tmp_path):
    assert _open_parts(str(tmp_path / "gone")) == ([], False)
