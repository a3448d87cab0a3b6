from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from gym_queue.errors import Forbidden, TooLarge
from gym_queue.runners.tarfiles import leads_inside, unpack


def archive(*members: tuple[str, bytes, str]) -> tarfile.TarFile:
    """Return a tar of (name, type, link or content)."""
    packed = io.BytesIO()
    with tarfile.open(mode="w", fileobj=packed) as tar:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o755
            if kind == tarfile.REGTYPE:
                member.size = len(text)
            else:
                member.linkname = text
            tar.addfile(member, io.BytesIO(text.encode()))
    packed.seek(0)
    return tarfile.open(mode="r|", fileobj=packed)


def test_files_folders_and_links_inside_come_out(tmp_path: Path):
    members = [
        ("t", tarfile.DIRTYPE, ""),
        ("t/a", tarfile.REGTYPE, "content"),
        ("t/sub", tarfile.DIRTYPE, ""),
        ("t/sub/up", tarfile.SYMTYPE, "../a"),
        ("t/dangling", tarfile.SYMTYPE, "nothing"),
        ("t/twin", tarfile.LNKTYPE, "t/a"),
    ]
    with archive(*members) as tar:
        unpack(tar, tmp_path, shown="t")
    assert (tmp_path / "t/sub/up").read_text() == "content"
    assert (tmp_path / "t/dangling").is_symlink()
    assert (tmp_path / "t/twin").read_text() == "content"


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path: Path, kind: bytes):
    with (
        archive(("t", tarfile.DIRTYPE, ""), ("t/odd", kind, "")) as tar,
        pytest.raises(Forbidden, match="device"),
    ):
        unpack(tar, tmp_path, shown="t")


@pytest.mark.parametrize("link", ["/etc/passwd", "../out", "sub/../../out"])
def test_links_that_lead_out_are_refused(tmp_path: Path, link: str):
    with (
        archive(("t", tarfile.DIRTYPE, ""), ("t/l", tarfile.SYMTYPE, link)) as tar,
        pytest.raises(Forbidden, match="outside"),
    ):
        unpack(tar, tmp_path, shown="t")


@pytest.mark.parametrize("name", ["../out", "/out", "t/../../out"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, name: str):
    folder = tmp_path / "in"
    folder.mkdir()
    with archive((name, tarfile.REGTYPE, "x")) as tar, pytest.raises(Forbidden, match="outside"):
        unpack(tar, folder, shown="t")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_through_a_link(tmp_path: Path):
    members = [
        ("t", tarfile.DIRTYPE, ""),
        ("t/l", tarfile.SYMTYPE, "sub"),
        ("t/l", tarfile.DIRTYPE, ""),
        ("t/l/x", tarfile.REGTYPE, "x"),
    ]
    with archive(*members) as tar, pytest.raises(FileExistsError):
        unpack(tar, tmp_path, shown="t")


def test_more_than_one_copy_may_take_is_refused(tmp_path: Path):
    with archive(("a", tarfile.REGTYPE, "12345")) as tar, pytest.raises(TooLarge):
        unpack(tar, tmp_path, shown="a", limit_bytes=4)


@pytest.mark.parametrize(
    ("link", "depth", "inside"),
    [
        ("a", 0, True),
        ("a/b", 0, True),
        ("..", 0, False),
        ("../a", 1, True),
        ("../../a", 1, False),
        ("a/../b", 3, False),
        ("/a", 9, False),
    ],
)
def test_a_link_leads_inside_when_no_way_through_other_links_can_leave(link: str, depth: int, inside: bool):
    assert leads_inside(link, depth=depth) is inside
