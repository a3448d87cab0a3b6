"""A worker's finished episodes: how they come, what is read of them, which go."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gym_queue.env.folder import EpisodeFolder
from gym_queue.errors import PathNotFound
from gym_queue.protocol.episodes import EpisodeQuery, EpisodeRow
from gym_queue.worker.archive import INDEX, Archive, ArchiveLimits
from gym_queue.worker.archivefolder import UNNAMED, ArchiveFolder
from gym_queue.worker.episodefiles import MOST_EVENTS
from gym_queue.worker.putaway import FILES, KeepRule, put_all_away, put_away

ALL = EpisodeQuery()
ANYHOW = 0.0
"""Free disk that a test asks for."""
PASSED = {"mode": "program", "passed": True, "score": 90, "feedback": "well done"}

Open = Callable[..., Archive]


@pytest.fixture
def open_archive(tmp_path: Path) -> Open:
    """Opens the archive, each time as a new worker would."""
    (tmp_path / "archive").mkdir()

    def open_one(**limits: int) -> Archive:
        rule = KeepRule(tmp_path / "archive", tmp_path / "leaving", ANYHOW)
        return Archive("w1", rule, ArchiveLimits(**limits))

    return open_one


def play(work_dir: Path, *, number: int = 1, steps: int = 2, ts: float = 100.0, **summary: Any) -> Path:
    """Write an episode as an environment does; one without a summary did not come to its end."""
    path = work_dir / "episodes" / f"episode_{number:03d}"
    folder = EpisodeFolder(path, lazy_frames=True, keeps_frames=True)
    folder.log_event({"event": "reset", "ts": ts, "env": "desk"})
    session = {"runner_name": "FakeRunner", "task_id": "t1"}
    folder.log_event({"event": "session", "ts": ts, "session": session})
    folder.save_frame(0, b"png0")
    for index in range(steps):
        folder.log_event({"event": "step", "ts": ts + 1 + index, "idx": index, "action": []})
        folder.save_frame(index + 1, b"png%d" % (index + 1))
    if summary:
        folder.log_event({"event": "finalize", "ts": ts + 10})
        folder.write_summary(summary)
    folder.close()
    return path


def keep(archive: Archive, tmp_path: Path, env_id: str = "e1", **played: Any) -> None:
    """Play an episode in an environment that then ends."""
    play(tmp_path / env_id, **played)
    put_all_away(tmp_path / env_id, env_id, archive.rule)


def only(archive: Archive) -> EpisodeRow:
    (row,) = archive.rows(ALL)
    return row


def test_an_episode_that_was_judged_says_how_and_by_whom(open_archive: Open, tmp_path: Path) -> None:
    archive = open_archive()
    keep(archive, tmp_path, reward=1.0, reason="Agent Completed", verifier=PASSED)
    row = only(archive)
    assert (row.worker_id, row.env_id, row.episode) == ("w1", "e1", "episode_001")
    assert (row.env, row.task_id, row.runner) == ("desk", "t1", "FakeRunner")
    assert (row.started, row.ended, row.steps, row.frames) == (100, 110, 2, 3)
    assert (row.outcome, row.passed, row.reward) == ("passed", True, 1.0)
    assert (row.reason, row.feedback, row.has_video) == ("Agent Completed", "well done", False)
    assert row.size_bytes > 0


@pytest.mark.parametrize(
    ("summary", "outcome", "passed"),
    [
        ({}, "unfinished", None),
        ({"reward": 0.0, "verifier": None}, "unjudged", None),
        ({"reward": 0.0, "verifier": {**PASSED, "passed": False}}, "failed", False),
        ({"error": {"error": "it raised", "code": "verifier_failed"}}, "error", None),
    ],
)
def test_how_an_episode_ended_is_one_word(
    open_archive: Open, tmp_path: Path, summary: dict[str, Any], outcome: str, passed: bool | None
) -> None:
    archive = open_archive()
    keep(archive, tmp_path, **summary)
    row = only(archive)
    assert (row.outcome, row.passed) == (outcome, passed)
    assert row.error == ("it raised" if outcome == "error" else None)


def test_an_episode_outlives_its_worker_and_is_read_once(open_archive: Open, tmp_path: Path) -> None:
    keep(open_archive(), tmp_path, reward=1.0, verifier=PASSED)
    first = only(open_archive())
    (tmp_path / "archive" / "e1@episode_001" / FILES / "summary.json").unlink()
    assert only(open_archive()) == first


def test_frames_are_found_in_the_spool_and_as_files(open_archive: Open, tmp_path: Path) -> None:
    archive = open_archive()
    path = play(tmp_path / "e1")
    (path / "frame_00007.png").write_bytes(b"png7")
    put_all_away(tmp_path / "e1", "e1", archive.rule)
    assert archive.show("e1", "episode_001")["frames"] == [0, 1, 2, 7]
    place = archive.frame_place("e1", "episode_001", "frame_00002.png")
    assert place is not None
    spool = (archive.files("e1", "episode_001") / ".frames").read_bytes()
    assert spool[place[0] : place[0] + place[1]] == b"png2"
    assert archive.frame_place("e1", "episode_001", "frame_00007.png") is None


def test_an_episode_whole_holds_its_events_its_verdict_and_its_files(
    open_archive: Open, tmp_path: Path
) -> None:
    archive = open_archive()
    keep(archive, tmp_path, reward=1.0, verifier=PASSED)
    shown = archive.show("e1", "episode_001")
    assert [event["event"] for event in shown["events"]] == ["reset", "session", "step", "step", "finalize"]
    assert not shown["events_cut"]
    assert shown["verdict"] == PASSED == shown["summary"]["verifier"]
    assert [file["path"] for file in shown["files"]] == ["summary.json", "traj.jsonl"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff\x00{",
        b"[" * 100_000,
        b'{"ts": NaN, "verifier": 7, "reward": 1e999}\n',
        b'{}\n{}\n{"event": "step", "ts": 1.2.3',
    ],
)
@pytest.mark.parametrize("name", ["traj.jsonl", "summary.json"])
def test_a_broken_file_breaks_neither_the_list_nor_the_episode(
    open_archive: Open, tmp_path: Path, name: str, garbage: bytes
) -> None:
    archive = open_archive()
    (play(tmp_path / "e1", reward=1.0) / name).write_bytes(garbage)
    put_all_away(tmp_path / "e1", "e1", archive.rule)
    row = only(archive)
    assert row.ended >= row.started
    assert json.dumps(archive.show("e1", "episode_001"), allow_nan=False)


def test_a_trajectory_of_very_many_events_is_cut(open_archive: Open, tmp_path: Path) -> None:
    archive = open_archive()
    (play(tmp_path / "e1") / "traj.jsonl").write_bytes(b"{}\n" * (MOST_EVENTS + 1))
    (play(tmp_path / "e2") / "traj.jsonl").write_bytes(b"{}\n" * MOST_EVENTS)
    for env_id in ("e1", "e2"):
        put_all_away(tmp_path / env_id, env_id, archive.rule)
    shown = [archive.show(env_id, "episode_001") for env_id in ("e1", "e2")]
    assert [(len(each["events"]), each["events_cut"]) for each in shown] == [
        (MOST_EVENTS, True),
        (MOST_EVENTS, False),
    ]


def test_a_broken_index_is_written_anew(open_archive: Open, tmp_path: Path) -> None:
    keep(open_archive(), tmp_path, reward=1.0, verifier=PASSED)
    first = only(open_archive())
    index = tmp_path / "archive" / "e1@episode_001" / INDEX
    index.write_text("{")
    assert only(open_archive()) == first
    assert json.loads(index.read_text())["outcome"] == "passed"


def test_what_is_no_file_is_not_read(open_archive: Open, tmp_path: Path) -> None:
    archive = open_archive()
    path = play(tmp_path / "e1", reward=1.0)
    (path / "summary.json").unlink()
    os.mkfifo(path / "summary.json")
    (path / "link").symlink_to("/etc/passwd")
    put_all_away(tmp_path / "e1", "e1", archive.rule)
    assert only(archive).outcome == "unfinished"
    assert [file["path"] for file in archive.show("e1", "episode_001")["files"]] == ["traj.jsonl"]


def test_the_oldest_go_first_by_count(open_archive: Open, tmp_path: Path) -> None:
    archive = open_archive(episodes=2)
    for number in (3, 1, 2):
        keep(archive, tmp_path, f"e{number}", ts=100.0 * number)
    archive.tidy()
    assert [row.env_id for row in archive.rows(ALL)] == ["e3", "e2"]
    assert not list((tmp_path / "archive").glob("*e1*"))


def test_the_oldest_go_first_by_size(open_archive: Open, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        keep(open_archive(), tmp_path, f"e{number}", ts=100.0 * number)
    size = max(row.size_bytes for row in open_archive().rows(ALL))
    archive = open_archive(size_bytes=2 * size)
    archive.tidy()
    assert [row.env_id for row in archive.rows(ALL)] == ["e3", "e2"]


def test_what_had_to_wait_is_copied_and_no_fifo_holds_it_up(open_archive: Open, tmp_path: Path) -> None:
    archive = open_archive()
    entry = tmp_path / "leaving" / "e1@episode_001"
    entry.mkdir(parents=True)
    path = play(tmp_path / "e1", reward=1.0)
    os.mkfifo(path / "pipe")
    (path / "link").symlink_to("traj.jsonl")
    path.rename(entry / FILES)
    archive.tidy()
    assert not list((tmp_path / "leaving").iterdir())
    assert only(archive).frames == 3
    files = archive.files("e1", "episode_001")
    assert {each.name for each in files.iterdir()} == {".frames", "link", "summary.json", "traj.jsonl"}
    assert (files / "link").is_symlink()


def test_an_archive_that_somebody_removed_costs_a_line_of_the_log(
    open_archive: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = open_archive()
    (tmp_path / "leaving" / "e1@episode_001" / "files").mkdir(parents=True)
    (tmp_path / "archive").rmdir()
    archive.tidy()
    assert "is not kept" in caplog.text


def test_an_id_that_is_used_again_overwrites_nothing(open_archive: Open, tmp_path: Path) -> None:
    archive = open_archive()
    for turn in range(3):
        keep(archive, tmp_path, ts=100.0 * (turn + 1))
    names = [row.episode for row in archive.rows(ALL)]
    assert names == ["episode_001.3", "episode_001.2", "episode_001"]
    assert archive.show("e1", "episode_001.3")["started"] == 300


def test_nothing_is_kept_on_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    rule = KeepRule(tmp_path / "archive", tmp_path / "leaving", 1.1)
    put_away(play(tmp_path / "e1"), "e1", rule)
    assert not list((tmp_path / "archive").iterdir())


def test_filters_and_pages_follow_the_order_of_the_ends(open_archive: Open, tmp_path: Path) -> None:
    archive = open_archive()
    for number in range(1, 6):
        passed = number % 2 == 0
        keep(archive, tmp_path, f"e{number}", ts=100.0 * number, verifier={**PASSED, "passed": passed})
    query = EpisodeQuery(limit=2)
    page, before = query.page(archive.rows(query))
    assert [row.env_id for row in page] == ["e5", "e4"]
    query = EpisodeQuery(limit=9, before=before)
    page, before = query.page(archive.rows(query))
    assert ([row.env_id for row in page], before) == (["e3", "e2", "e1"], None)
    assert [row.env_id for row in archive.rows(EpisodeQuery(outcome="passed"))] == ["e4", "e2"]
    assert len(archive.rows(EpisodeQuery(env="desk", task="t1", worker="w1"))) == 5
    assert [row.env_id for row in archive.rows(EpisodeQuery(env="e3"))] == ["e3"]
    assert archive.rows(EpisodeQuery(task="t2")) == []


@pytest.mark.parametrize(
    ("env_id", "episode"),
    [
        ("..", "episode_001"),
        ("e1", ".."),
        ("e1", "episode_001/.."),
        ("e/1", "episode_001"),
        ("e1", "episode_002"),
    ],
)
def test_a_name_that_is_none_is_not_looked_for(
    open_archive: Open, tmp_path: Path, env_id: str, episode: str
) -> None:
    archive = open_archive()
    keep(archive, tmp_path)
    with pytest.raises(PathNotFound):
        archive.files(env_id, episode)
    with pytest.raises(PathNotFound):
        archive.show(env_id, episode)


def test_a_folder_is_one_worker_s_while_it_lives_and_then_the_next_one_s(tmp_path: Path) -> None:
    first, rival = ArchiveFolder(tmp_path, "w"), ArchiveFolder(tmp_path, "w")
    assert first.path != rival.path
    for number, folder in enumerate((first, rival)):
        rule = KeepRule(folder.path, tmp_path / "leaving", ANYHOW)
        put_away(play(tmp_path / f"e{number}"), "e1", rule)
        folder.close()
    heir = ArchiveFolder(tmp_path, "w")
    assert heir.path == first.path
    assert {each.name for each in heir.path.glob("e*")} == {"e1@episode_001", "e1@episode_001.2"}
    heir.close()


def test_workers_without_a_name_take_over_from_one_another_and_from_no_other(tmp_path: Path) -> None:
    named, unnamed = ArchiveFolder(tmp_path, "w"), ArchiveFolder(tmp_path, None)
    assert unnamed.path.name == UNNAMED != named.path.name
    unnamed.close()
    assert ArchiveFolder(tmp_path, None).path == unnamed.path
