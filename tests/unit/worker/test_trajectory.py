"""Reading a trajectory while it grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gym_queue.worker.trajectory import CHUNK_BYTES, EVENT_BYTES, REPLY_BYTES, TrajectoryReader


@pytest.fixture
def reader() -> TrajectoryReader:
    return TrajectoryReader()


def write(folder: Path, *lines: str) -> None:
    with (folder / "traj.jsonl").open("a", encoding="utf-8", newline="") as file:
        file.write("".join(lines))


def numbered(*numbers: int) -> str:
    return "".join(f'{{"n": {number}}}\n' for number in numbers)


def read(reader: TrajectoryReader, folder: Path, after: int = 0, limit: int = 500) -> tuple[list[Any], int]:
    events, following = reader.read(folder, after, limit)
    return [json.loads(event) for event in events], following


def test_events_follow_one_another_from_reply_to_reply(reader: TrajectoryReader, tmp_path: Path) -> None:
    write(tmp_path, numbered(*range(5)))
    assert read(reader, tmp_path, limit=2) == ([{"n": 0}, {"n": 1}], 2)
    assert read(reader, tmp_path, 2, 2) == ([{"n": 2}, {"n": 3}], 4)
    assert read(reader, tmp_path, 4) == ([{"n": 4}], 5)
    assert read(reader, tmp_path, 5) == ([], 5)
    write(tmp_path, numbered(5))
    assert read(reader, tmp_path, 5) == ([{"n": 5}], 6)
    assert read(TrajectoryReader(), tmp_path, 3) == ([{"n": 3}, {"n": 4}, {"n": 5}], 6)


def test_an_event_that_is_still_being_written_waits(reader: TrajectoryReader, tmp_path: Path) -> None:
    write(tmp_path, numbered(0), '{"n"')
    assert read(reader, tmp_path) == ([{"n": 0}], 1)
    write(tmp_path, ": 1}\n")
    assert read(reader, tmp_path, 1) == ([{"n": 1}], 2)


def test_asked_beyond_the_end_it_says_where_the_end_is(reader: TrajectoryReader, tmp_path: Path) -> None:
    write(tmp_path, numbered(0, 1))
    assert read(reader, tmp_path, 99) == ([], 2)


def test_another_episode_is_read_from_its_own_file(reader: TrajectoryReader, tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 7)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, numbered(first, first + 1, first + 2))
    assert read(reader, tmp_path / "a", 1, 1) == ([{"n": 1}], 2)
    assert read(reader, tmp_path / "b", 2) == ([{"n": 9}], 3)
    assert read(reader, tmp_path / "gone", 2) == ([], 0)


def test_a_huge_event_is_cut_and_the_next_are_read(reader: TrajectoryReader, tmp_path: Path) -> None:
    huge = json.dumps({"text": "x" * (CHUNK_BYTES + EVENT_BYTES)}) + "\n"
    write(tmp_path, huge, numbered(1))
    assert read(reader, tmp_path) == ([{"event": "cut", "cut_bytes": len(huge)}, {"n": 1}], 2)
    assert read(TrajectoryReader(), tmp_path, 1) == ([{"n": 1}], 2)


def test_a_reply_is_bounded_and_the_next_goes_on(reader: TrajectoryReader, tmp_path: Path) -> None:
    one = json.dumps({"text": "x" * (EVENT_BYTES - 100)}) + "\n"
    write(tmp_path, one * 10)
    found, following = read(reader, tmp_path)
    assert len(found) == following == REPLY_BYTES // len(one)
    assert len(read(reader, tmp_path, following)[0]) == following


@pytest.mark.parametrize("line", ["nonsense", "[1]", '{"a": NaN}', "", "[" * 50_000, '{"a": "\\ud8'])
def test_what_is_no_event_does_not_break_the_reply(
    reader: TrajectoryReader, tmp_path: Path, line: str
) -> None:
    write(tmp_path, f"{line}\n", numbered(1))
    assert read(reader, tmp_path) == ([{"event": "unreadable", "cut_bytes": len(line) + 1}, {"n": 1}], 2)


def test_a_link_in_its_place_is_not_followed(reader: TrajectoryReader, tmp_path: Path) -> None:
    write(tmp_path, numbered(0))
    folder = tmp_path / "episode"
    folder.mkdir()
    (folder / "traj.jsonl").symlink_to(tmp_path / "traj.jsonl")
    assert read(reader, folder) == ([], 0)
