from pathlib import Path

from gym_queue.env.folder import EpisodeFolder
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
