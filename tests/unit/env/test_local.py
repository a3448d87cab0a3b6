from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from gym_queue.env.local import LocalGymEnv, from_config, make
from gym_queue.env.setup import local_vm_options
from gym_queue.errors import (
    EnvState,
    NotSupported,
    RequestInvalid,
    RunnerUnavailable,
    SpecInvalid,
    SpecNotFound,
)
from gym_queue.runners.base import VmOptions
from tests.unit.env.conftest import ENV


@pytest.fixture
def env_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "unit_env"
    (folder / "tasks/one").mkdir(parents=True)
    (folder / "env.json").write_text(json.dumps(ENV))
    (folder / "tasks/one/task.json").write_text(json.dumps({"id": "one", "description": "do it"}))
    return folder


def test_a_folder_opens_as_an_environment(env_dir: Path) -> None:
    with from_config(env_dir, "one", runner="fake") as env:
        assert env.task_description == "do it"
        assert env.reset(seed=1)["screen"].image().shape == (48, 64, 3)
        _, reward, done, info = env.step([{"mouse": {"move": [1, 1]}}], mark_done=True)
    assert (reward, done, info["reason"]) == (0.0, True, "Agent Completed")


def test_close_removes_a_work_dir_of_its_own(env_dir: Path) -> None:
    env = from_config(env_dir, runner="fake")
    env.reset()
    folder = env.episode_dir
    assert folder is not None
    env.close()
    assert not folder.exists()


def test_close_keeps_a_work_dir_that_was_given(env_dir: Path, tmp_path: Path) -> None:
    with from_config(env_dir, runner="fake", work_dir=tmp_path / "work") as env:
        env.reset()
        folder = env.episode_dir
    assert folder is not None
    assert (folder / "frame_00000.png").exists()


def test_an_environment_that_cannot_be_opened_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(NotSupported):
        make(ENV, {"id": "t", "init": {"init_pyautogui": ["click"]}}, runner="fake")
    assert list(tmp_path.iterdir()) == []


def test_specs_open_as_an_environment() -> None:
    with make(ENV, {"id": "t"}, runner="fake") as env:
        env.reset()
        info = env.get_session_info()
        assert info is not None
        assert info.task_id == "t"


def test_what_cannot_be_opened_says_why(env_dir: Path) -> None:
    with pytest.raises(SpecNotFound):
        from_config(env_dir, "two")
    with pytest.raises(RunnerUnavailable, match="known runners are"):
        from_config(env_dir, runner="doker")
    with pytest.raises(RequestInvalid, match="from_config"):
        make(str(env_dir))  # type: ignore[arg-type]
    with pytest.raises(RequestInvalid, match=r"env_spec\.x"):
        make({**ENV, "x": object()})
    with pytest.raises(SpecInvalid):
        make({"id": "no observation"})


def test_wrong_arguments_are_typed_errors(env_dir: Path) -> None:
    with from_config(env_dir, runner="fake") as env:
        with pytest.raises(RequestInvalid, match="seed"):
            env.reset(seed="x")  # type: ignore[arg-type]
        env.reset()
        with pytest.raises(RequestInvalid, match="wait_between_actions"):
            env.step([], wait_between_actions=float("nan"))
        with pytest.raises(RequestInvalid, match="max_steps"):
            env.set_episode_limits(max_steps=0)


@pytest.mark.parametrize("call", ["pause_recording", "resume_recording"])
def test_what_is_not_filmed_cannot_be_paused_and_says_why(env_dir: Path, call: str) -> None:
    with from_config(env_dir, runner="fake") as env:
        with pytest.raises(EnvState, match="call reset first"):
            getattr(env, call)()
        env.reset()
        with pytest.raises(NotSupported, match="no video: "):
            getattr(env, call)()
        session = env.get_session_info()
        assert session is not None
        assert session.recording is None
        assert session.notes[0].startswith("no video: ")


def test_fetch_path_copies_where_it_is_told(env_dir: Path, tmp_path: Path) -> None:
    with from_config(env_dir, runner="fake") as env:
        path = env.reset()["screen"]["path"]
        assert env.fetch_path(path) == path
        assert Path(env.fetch_path(path, str(tmp_path / "deep/copy.png"))).stat().st_size > 0


def test_how_virtual_machines_run_here_is_in_the_variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GYM_ANYTHING_ALLOW_EMULATION", "1")
    monkeypatch.setenv("GYM_ANYTHING_VM_IMAGE_DIR", str(tmp_path))
    assert local_vm_options() == VmOptions(allow_emulation=True, image_dir=tmp_path)


def test_the_surface_is_that_of_remote_environments() -> None:
    from gym_queue.protocol.surface import GymEnv

    names = [name for name in vars(GymEnv) if not name.startswith("_")]
    assert [name for name in names if not hasattr(LocalGymEnv, name)] == []
