from __future__ import annotations

import os
from pathlib import Path

import pytest

from gym_queue.errors import Forbidden, PathNotFound, TooLarge
from gym_queue.runners.beneath import copy_out, open_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (root / "inner" / "file").write_text("data")
    (root / "link").symlink_to("/etc/passwd")
    (root / "away").symlink_to("/etc")
    os.mkfifo(root / "fifo")
    return root


def test_a_file_is_opened(root: Path) -> None:
    with os.fdopen(open_file(root, Path("inner/file"))) as file:
        assert file.read() == "data"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("link", Forbidden),
        ("away/passwd", Forbidden),
        ("fifo", PathNotFound),
        ("inner", PathNotFound),
        ("none", PathNotFound),
        ("none/file", PathNotFound),
        ("inner/file/x", Forbidden),
        ("../root/inner/file", PathNotFound),
        (".", PathNotFound),
    ],
)
def test_nothing_else_is(root: Path, path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_file(root, Path(path))


def test_a_folder_is_copied_with_its_links_as_links(root: Path, tmp_path: Path) -> None:
    (root / "inner" / "link").symlink_to("/etc/passwd")
    (root / "inner" / "file").chmod(0o4755)
    copy_out(root, Path("inner"), tmp_path / "copy", limit_bytes=10_000)
    assert (tmp_path / "copy" / "file").read_text() == "data"
    assert (tmp_path / "copy" / "file").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "copy" / "link").is_symlink()


def test_a_copy_ends_at_its_limit(root: Path, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="more than 3 bytes"):
        copy_out(root, Path("inner/file"), tmp_path / "copy", limit_bytes=3)


def test_no_descriptor_stays_open(root: Path, tmp_path: Path) -> None:
    before = sum(1 for _ in Path("/dev/fd").iterdir())
    for path in ("link", "fifo", "none/file", "inner/file/x"):
        with pytest.raises((Forbidden, PathNotFound)):
            open_file(root, Path(path))
    copy_out(root, Path("inner"), tmp_path / "copy", limit_bytes=10_000)
    assert sum(1 for _ in Path("/dev/fd").iterdir()) == before
