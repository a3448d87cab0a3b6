import os
from pathlib import Path

import pytest

from gym_queue.env.folder import EpisodeFolder
from gym_queue.env.spool import HEAD, LEAST_DROPPED, SPOOL, FrameSpool, read_spool
from tests.unit.env.conftest import Lab, files_of, reset, step


def test_lazy_frames_become_files_when_they_are_asked_for(tmp_path: Path) -> None:
    folder = EpisodeFolder(tmp_path, lazy_frames=True)
    paths = [Path(folder.save_frame(index, b"png%d" % index)) for index in range(3)]
    assert not any(path.exists() for path in paths)
    assert list(folder.frames().values()) == paths
    assert [path.read_bytes() for path in paths] == [b"png0", b"png1", b"png2"]
    folder.save_frame(3, b"png3")
    folder.save_frame(3, b"again")
    folder.flush()
    assert (tmp_path / "frame_00003.png").read_bytes() == b"again"
    folder.close()


def test_a_verifier_sees_lazy_frames(lab: Lab) -> None:
    verifier = (
        "import os; return {'passed': all(map(os.path.exists, traj['frames'])), 'score': len(traj['frames'])}"
    )
    episode = lab.open(verifier=verifier, lazy_frames=True)
    reset(episode)
    step(episode)
    info = step(episode, mark_done=True)["info"]
    assert (info["verifier"]["passed"], info["verifier"]["score"]) == (True, 3)


def test_frames_are_files_at_once_where_they_are_not_lazy(lab: Lab) -> None:
    episode = lab.open()
    path = reset(episode)["observation"]["screen"]["path"]
    assert Path(path).name in files_of(episode)


@pytest.mark.parametrize("lazy", [True, False])
def test_the_oldest_frames_go_but_never_the_first(tmp_path: Path, lazy: bool) -> None:
    folder = EpisodeFolder(tmp_path, lazy_frames=lazy, max_frames=2)
    for index in (0, 1, 2, 5, 9):
        folder.save_frame(index, b"png%d" % index)
    assert list(folder.frames()) == [0, 5, 9]
    folder.save_frame(10, b"png10")
    assert {index: path.read_bytes() for index, path in folder.frames().items()} == {
        0: b"png0",
        9: b"png9",
        10: b"png10",
    }
    folder.close()


def test_a_spool_forgets_dropped_frames_and_takes_no_room_for_them(tmp_path: Path) -> None:
    spool, frame = FrameSpool(tmp_path), bytes(LEAST_DROPPED // 4)
    for index in range(12):
        spool.add(f"{index}", frame + b"%d" % index)
        if index > 1:
            assert spool.drop(f"{index - 2}")
    assert not spool.drop("0")
    assert spool._end < 2 * LEAST_DROPPED
    spool.write_out()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "11"]
    assert (tmp_path / "11").read_bytes().endswith(b"\0" + b"11")
    spool.close()


def frames_in(path: Path) -> dict[str, bytes]:
    """Return what a spool's file says it holds."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return {name: os.pread(fd, size, start) for name, (start, size) in read_spool(fd).items()}
    finally:
        os.close(fd)


def test_a_spool_that_is_kept_says_by_itself_what_it_holds(tmp_path: Path) -> None:
    spool = FrameSpool(tmp_path, is_kept=True)
    for index in range(3):
        spool.add(f"frame_{index:05d}.png", b"png%d" % index)
    spool.add("frame_00001.png", b"again")
    found = {"frame_00000.png": b"png0", "frame_00001.png": b"again", "frame_00002.png": b"png2"}
    assert frames_in(tmp_path / SPOOL) == found  # not closed: as a killed process leaves it
    spool.write_out()
    assert frames_in(tmp_path / SPOOL) == {}
    spool.add("frame_00003.png", b"png3")
    spool.close()
    assert frames_in(tmp_path / SPOOL) == {"frame_00003.png": b"png3"}


@pytest.mark.parametrize("cut", [1, 3, 4, 5, HEAD.size, HEAD.size + 3])
def test_a_frame_that_was_half_written_is_passed_over(tmp_path: Path, cut: int) -> None:
    spool = FrameSpool(tmp_path, is_kept=True)
    spool.add("0", b"png0")
    spool.add("1", b"png1")
    spool.close()
    os.truncate(tmp_path / SPOOL, (tmp_path / SPOOL).stat().st_size - cut)
    assert frames_in(tmp_path / SPOOL) == {"0": b"png0"}


def test_what_is_no_spool_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / SPOOL).write_bytes(b"x" * 1000)
    assert frames_in(tmp_path / SPOOL) == {}


def test_a_spool_that_is_not_kept_has_no_name(tmp_path: Path) -> None:
    spool = FrameSpool(tmp_path)
    spool.add("0", b"png0")
    assert spool.sizes() == {"0": 4}
    assert not list(tmp_path.iterdir())
    spool.close()
