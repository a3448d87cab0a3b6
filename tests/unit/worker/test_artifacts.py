"""Listing an episode's files."""

from __future__ import annotations

import os
from pathlib import Path

from gym_queue.worker.artifacts import MAX_DEPTH, MAX_ENTRIES, MAX_FILES, list_files


def paths(folder: Path, unwritten: dict[str, int] | None = None) -> list[str]:
    files, cut = list_files(folder, unwritten)
    assert not cut
    return [each["path"] for each in files]


def test_files_are_told_with_their_sizes_and_frames_when_asked(tmp_path: Path) -> None:
    for name in ("traj.jsonl", "frame_00000.png", "sub/frame_00001.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    assert paths(tmp_path) == ["sub/frame_00001.png", "traj.jsonl"]
    files, cut = list_files(tmp_path, {"frame_00000.png": 9, "frame_00001.png": 8})
    assert not cut
    assert [(each["path"], each["size_bytes"]) for each in files] == [
        ("frame_00000.png", 5),
        ("frame_00001.png", 8),
        ("sub/frame_00001.png", 5),
        ("traj.jsonl", 5),
    ]
    assert [each["modified"] is None for each in files] == [False, True, False, False]


def test_links_and_pipes_are_no_files(tmp_path: Path) -> None:
    folder = tmp_path / "episode"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    assert paths(folder) == []
    assert paths(tmp_path / "gone") == []


def test_names_that_are_no_text_are_shown_all_the_same(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_text("x")
    assert paths(tmp_path) == ["?.txt"]


def test_many_files_are_cut(tmp_path: Path) -> None:
    frames = {f"frame_{number:05d}.png": 1 for number in range(MAX_FILES + 1)}
    files, cut = list_files(tmp_path, frames)
    assert (len(files), cut) == (MAX_FILES, True)
    for name in frames:
        (tmp_path / name).touch()
    files, cut = list_files(tmp_path, {})
    assert (len(files), cut) == (MAX_FILES, True)
    assert MAX_ENTRIES > MAX_FILES


def test_folders_are_not_followed_for_ever(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * (MAX_DEPTH + 5))
    deep.mkdir(parents=True)
    (deep / "file").touch()
    (tmp_path / "d" / "near").touch()
    assert paths(tmp_path) == ["d/near"]
