from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gym_queue.env.checkpoints import CacheLimits, CheckpointCache, CheckpointRecord
from gym_queue.env.digest import CheckpointKeys, FolderDigests
from gym_queue.env.episode import Episode
from gym_queue.env.source import EnvSource
from gym_queue.errors import NotSupported, PathNotFound, RequestInvalid
from gym_queue.runners.fake import FakeRunner
from gym_queue.runners.homecheckpoints import HomeCheckpoints
from gym_queue.specs.loader import parse_env, parse_task
from tests.unit.env.conftest import ENV, Lab, reset, step

HOOKS = {
    "hooks": {
        "pre_start": ["echo pre_start >> ran"],
        "post_start": ["echo post_start >> ran"],
        "reset": ["echo reset >> ran"],
    }
}
TASK = {"hooks": {"pre_task": "echo pre_task >> ran"}}


@pytest.fixture
def cache(tmp_path: Path) -> CheckpointCache:
    return CheckpointCache(tmp_path / "checkpoints")


def open_with(lab: Lab, cache: CheckpointCache, **options: Any) -> Episode:
    return lab.open(
        env=HOOKS,
        task=TASK,
        checkpoints=cache,
        **options,
    )


def ran(lab: Lab, episode: Episode, name: str = "seen") -> list[str]:
    episode.copy_from_env("ran", lab.work_dir / name)
    return (lab.work_dir / name).read_text().split()


ALL = ["pre_start", "post_start", "reset", "pre_task"]


@pytest.mark.parametrize(
    ("level", "saved", "again"),
    [
        ("pre_start", ["pre_start"], ALL),
        ("post_start", ["pre_start", "post_start"], ALL),
        ("post_task", ["pre_start", "post_start", "post_task"], [*ALL, "reset"]),
        ("default", ["pre_start"], ALL),
    ],
)
def test_a_reset_keeps_what_is_missing_and_the_next_starts_from_the_best(
    lab: Lab, cache: CheckpointCache, level: str, saved: list[str], again: list[str]
) -> None:
    episode = open_with(lab, cache)
    first = reset(episode, use_cache=True, cache_level=level)
    assert first["_checkpoint"] == {"loaded": None, "saved": saved}
    assert ran(lab, episode) == ALL
    second = reset(episode, use_cache=True, cache_level=level)
    assert second["_checkpoint"] == {"loaded": saved[-1], "saved": []}
    assert ran(lab, episode) == again
    assert set(second["_timings"]) == {"start", "hooks", "checkpoint", "settle"}


def test_a_lower_level_is_used_when_the_asked_one_is_missing(lab: Lab, cache: CheckpointCache) -> None:
    reset(open_with(lab, cache), use_cache=True, cache_level="pre_start")
    other = open_with(lab, cache)
    assert reset(other, use_cache=True, cache_level="post_start")["_checkpoint"] == {
        "loaded": "pre_start",
        "saved": ["post_start"],
    }
    assert ran(lab, other) == ALL


def test_a_higher_level_than_asked_is_not_used(lab: Lab, cache: CheckpointCache) -> None:
    reset(open_with(lab, cache), use_cache=True, cache_level="post_task")
    assert (
        reset(open_with(lab, cache), use_cache=True, cache_level="pre_start")["_checkpoint"]["loaded"]
        == "pre_start"
    )


def test_without_use_cache_nothing_is_kept_or_used(lab: Lab, cache: CheckpointCache) -> None:
    episode = open_with(lab, cache)
    assert "_checkpoint" not in reset(episode)
    assert cache.records() == []


def test_a_hook_that_fails_keeps_no_checkpoint_of_its_level(lab: Lab, cache: CheckpointCache) -> None:
    episode = lab.open(env={"hooks": {"pre_start": ["true"], "post_start": ["false"]}}, checkpoints=cache)
    with pytest.raises(Exception, match="post_start"):
        reset(episode, use_cache=True, cache_level="post_start")
    assert [record.level for record in cache.records()] == ["pre_start"]


def test_a_checkpoint_whose_content_is_gone_is_forgotten(lab: Lab, cache: CheckpointCache) -> None:
    first = open_with(lab, cache)
    reset(first, use_cache=True)
    first.close()
    HomeCheckpoints(cache.root / "fake").remove(cache.records()[0].key)
    assert reset(open_with(lab, cache), use_cache=True)["_checkpoint"] == {
        "loaded": None,
        "saved": ["pre_start"],
    }


def test_a_checkpoint_that_cannot_be_started_from_goes_and_the_reset_is_done_without(
    lab: Lab, cache: CheckpointCache
) -> None:
    first = open_with(lab, cache)
    reset(first, use_cache=True)
    first.close()
    content = cache.root / "fake" / cache.records()[0].key
    os.mkfifo(content / "pipe")  # cannot be copied
    episode = open_with(lab, cache)
    assert reset(episode, use_cache=True)["_checkpoint"] == {"loaded": None, "saved": ["pre_start"]}
    assert ran(lab, episode) == ALL


def test_a_save_that_was_broken_off_is_never_used_and_is_cleared_away(
    lab: Lab, cache: CheckpointCache
) -> None:
    first = open_with(lab, cache)
    reset(first, use_cache=True)
    first.close()
    key = cache.records()[0].key
    (cache.root / f"{key}.json").unlink()  # as if the program had died before the record was written
    (cache.root / "fake" / key / "ran").write_text("half\n")
    episode = open_with(lab, cache)
    assert reset(episode, use_cache=True)["_checkpoint"] == {"loaded": None, "saved": ["pre_start"]}
    reset(episode, use_cache=True)
    assert ran(lab, episode) == ALL


def test_a_record_that_is_no_record_is_passed_over(cache: CheckpointCache) -> None:
    cache.root.mkdir()
    (cache.root / "bad.json").write_text("{")
    assert cache.records() == []


def record(key: str, **fields: Any) -> CheckpointRecord:
    known = {"runner": "fake", "env": "unit", "level": "pre_start", "size_bytes": 0, "created_at": 0.0}
    return CheckpointRecord(key=key, **{**known, **fields})


class Keeper(FakeRunner):
    """Keeps a file of 100 bytes for a checkpoint."""

    def __init__(self, cache: CheckpointCache) -> None:
        self._folder = cache.root / "fake"

    def save_checkpoint(self, key: str) -> int:
        (self._folder / key).mkdir(parents=True)
        return 100


def keep(cache: CheckpointCache, *keys: str, **fields: Any) -> None:
    for key in keys:
        cache.save(Keeper(cache), record(key, **fields))
        os.utime(cache.root / f"{key}.json", (len(cache.records()), len(cache.records())))


def test_the_least_recently_used_go_when_there_are_too_many_bytes(tmp_path: Path) -> None:
    cache = CheckpointCache(tmp_path, CacheLimits(max_bytes=250), clock=lambda: 10.0)
    keep(cache, "a", "b")
    cache.find("a")
    keep(cache, "c")
    assert {each.key for each in cache.records()} == {"a", "c"}
    assert not HomeCheckpoints(tmp_path / "fake").holds("b")


def test_what_lay_unused_for_too_long_goes(tmp_path: Path) -> None:
    cache = CheckpointCache(tmp_path, CacheLimits(max_age_s=60), clock=lambda: 1.0)
    keep(cache, "old")
    late = CheckpointCache(tmp_path, CacheLimits(max_age_s=60), clock=lambda: 100.0)
    assert [each.key for each in late.evict()] == ["old"]


def test_saved_states_are_not_evicted_for_their_size(tmp_path: Path) -> None:
    cache = CheckpointCache(tmp_path, CacheLimits(max_bytes=0), clock=lambda: 10.0)
    keep(cache, "state-a", level="state")
    assert cache.evict() == []


def test_of_two_that_save_the_same_at_once_one_does(cache: CheckpointCache) -> None:
    class Slow(Keeper):
        def save_checkpoint(self, key: str) -> int:
            assert cache.save(Keeper(cache), record(key)) is None
            return super().save_checkpoint(key)

    assert cache.save(Slow(cache), record("same")) is not None


def test_a_runner_without_the_power_is_refused(cache: CheckpointCache) -> None:
    with pytest.raises(NotSupported, match="no checkpoints"):
        cache.storage("avd")


def source_of(env_dir: Path, *, env: dict[str, Any] | None = None, task: str = "a") -> EnvSource:
    spec = parse_env({**ENV, **(env or {})}, where="env")
    return EnvSource(spec, parse_task({"id": task}, where="task"), env_dir, env_dir / "tasks" / task, "fake")


def keys_of(
    source: EnvSource, base: str = "", seed: int | None = 1, *, machine: bool = False
) -> tuple[str, str]:
    keys = CheckpointKeys(source)
    return (
        keys.key("pre_start", base=base, seed=seed, machine=machine),
        keys.key("post_task", base=base, seed=seed, machine=machine),
    )


def test_the_key_changes_with_all_that_shapes_the_state(tmp_path: Path) -> None:
    for folder in ("scripts", "tasks/a", "tasks/b", "outside"):
        (tmp_path / "env" / folder).mkdir(parents=True)
    env_dir, script = tmp_path / "env", tmp_path / "env" / "scripts" / "setup.sh"
    script.write_text("true")
    seen = [keys_of(source_of(env_dir))]
    seen.append(keys_of(source_of(env_dir), base="another image"))
    seen.append(keys_of(source_of(env_dir), machine=True))
    seen.append(keys_of(source_of(env_dir, env={"resources": {"mem_gb": 9}})))
    script.write_text("false")
    seen.append(keys_of(source_of(env_dir)))
    script.chmod(0o755)
    seen.append(keys_of(source_of(env_dir)))
    script.rename(script.with_name("other.sh"))
    seen.append(keys_of(source_of(env_dir)))
    before, after = zip(*seen, strict=True)
    assert len({*before, *after}) == 2 * len(seen)


def test_tasks_and_seeds_share_what_comes_before_the_task(tmp_path: Path) -> None:
    for task in ("a", "b"):
        (tmp_path / "tasks" / task).mkdir(parents=True)
    first = keys_of(source_of(tmp_path))
    (tmp_path / "tasks" / "a" / "setup_task.sh").write_text("true")
    edited = keys_of(source_of(tmp_path))
    other, seeded = keys_of(source_of(tmp_path, task="b")), keys_of(source_of(tmp_path), seed=2)
    assert first[0] == edited[0] == other[0] == seeded[0]
    assert len({first[1], edited[1], other[1], seeded[1]}) == 4


def test_a_folders_digest_is_made_anew_when_a_file_changes(tmp_path: Path) -> None:
    digests = FolderDigests()
    (tmp_path / "file").write_text("a")
    first = digests.digest(tmp_path)
    assert digests.digest(tmp_path) == first
    (tmp_path / "file").write_text("bb")
    assert digests.digest(tmp_path) != first


def test_a_state_that_was_saved_is_loaded(lab: Lab, cache: CheckpointCache) -> None:
    episode = open_with(lab, cache)
    reset(episode)
    path = episode.save_state()
    (lab.work_dir / "more").write_text("later\n")
    episode.copy_to_env(lab.work_dir / "more", "ran")
    assert ran(lab, episode) == ["later"]
    episode.load_state(path)
    assert ran(lab, episode) == ALL
    other = open_with(lab, cache)
    reset(other)
    other.load_state(path)
    assert ran(lab, other) == ALL


def actions_of(episode: Episode) -> str:
    return str(episode.capture_observation()["cli_stdout"]["text"])


COUNTED: dict[str, Any] = {"observation": [*ENV["observation"], {"type": "cli_stdout"}]}
MOVE = {"mouse": {"move": [1, 1]}}


def test_a_state_holds_the_machine_as_it_ran(lab: Lab, cache: CheckpointCache) -> None:
    episode = lab.open(env=COUNTED, checkpoints=cache)
    reset(episode)
    step(episode, MOVE, MOVE)
    path = episode.save_state()
    step(episode, MOVE)
    episode.load_state(path)
    assert actions_of(episode) == "2 actions"
    assert cache.records()[0].machine


def test_a_reset_to_a_machine_keeps_one_apart_from_files_and_needs_no_use_cache(
    lab: Lab, cache: CheckpointCache
) -> None:
    other = open_with(lab, cache)
    reset(other, use_cache=True)
    other.close()
    episode = open_with(lab, cache)
    first = reset(episode, use_savevm=True)
    assert first["_checkpoint"] == {"loaded": None, "saved": ["pre_start"], "machine": True}
    assert reset(episode, use_savevm=True, use_cache=True)["_checkpoint"] == {
        "loaded": "pre_start",
        "saved": [],
        "machine": True,
    }
    assert ran(lab, episode) == ALL
    assert [record.machine for record in cache.records()] == [True, False]


def test_of_machines_only_levels_that_hooks_lead_to_are_kept(lab: Lab, cache: CheckpointCache) -> None:
    episode = lab.open(env={"hooks": {"post_start": ["true"]}}, task=TASK, checkpoints=cache)
    said = reset(episode, use_savevm=True, cache_level="post_task")["_checkpoint"]
    assert said["saved"] == ["post_start", "post_task"]
    assert reset(episode, use_savevm=True, cache_level="pre_start")["_checkpoint"]["saved"] == ["pre_start"]


@pytest.mark.parametrize(
    ("asked", "machine"),
    [
        ({"cache_level": "default"}, True),
        ({"cache_level": "post_start"}, None),
    ],
)
def test_the_default_level_keeps_what_the_spec_says(
    lab: Lab, cache: CheckpointCache, asked: dict[str, str], machine: bool | None
) -> None:
    spec = {**HOOKS, "default_cache_level": "post_start", "default_use_savevm": True}
    episode = lab.open(env=spec, checkpoints=cache)
    said = reset(episode, use_cache=True, **asked)["_checkpoint"]
    assert (said["saved"], said.get("machine")) == (["pre_start", "post_start"], machine)


def test_a_runner_of_files_keeps_files_where_the_spec_would_rather_have_machines(
    lab: Lab, cache: CheckpointCache
) -> None:
    spec = {**HOOKS, "default_use_savevm": True}
    episode = lab.open(env=spec, runner="local", checkpoints=cache)
    assert "machine" not in reset(episode, use_cache=True, cache_level="default")["_checkpoint"]
    assert not cache.records()[0].machine


def test_a_record_of_an_earlier_version_holds_files(cache: CheckpointCache) -> None:
    cache.root.mkdir()
    old = record("old").model_dump_json(exclude={"machine"})
    (cache.root / "old.json").write_text(old)
    assert [each.machine for each in cache.records()] == [False]


def test_a_machine_is_refused_of_a_runner_that_keeps_files_alone(cache: CheckpointCache) -> None:
    class Files:
        def save_checkpoint(self, key: str) -> int:
            return 0

    with pytest.raises(NotSupported, match="use_savevm"):
        cache.save(Files(), record("a", machine=True))  # type: ignore[arg-type]  # no more of a runner is asked


def test_a_state_is_saved_where_one_asks(lab: Lab, cache: CheckpointCache, tmp_path: Path) -> None:
    episode = open_with(lab, cache)
    reset(episode)
    assert episode.save_state(tmp_path / "kept" / "here") == tmp_path / "kept" / "here"


def test_a_state_cannot_be_saved_in_place_of_a_folder_or_below_a_file(
    lab: Lab, cache: CheckpointCache, tmp_path: Path
) -> None:
    episode = open_with(lab, cache)
    reset(episode)
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "state"):
        with pytest.raises(PathNotFound, match="cannot be a file"):
            episode.save_state(path)


@pytest.mark.parametrize("content", ["", "[]", '{"format": "other"}', "x" * 10_000])
def test_a_file_that_is_no_state_is_refused(
    lab: Lab, cache: CheckpointCache, tmp_path: Path, content: str
) -> None:
    episode = open_with(lab, cache)
    reset(episode)
    (tmp_path / "file").write_text(content)
    with pytest.raises(RequestInvalid, match="save_state"):
        episode.load_state(tmp_path / "file")
    with pytest.raises(PathNotFound, match="no saved state"):
        episode.load_state(tmp_path / "nothing")
    with pytest.raises(PathNotFound, match="no saved state"):
        episode.load_state(tmp_path)
    assert ran(lab, episode) == ALL


def test_a_state_of_another_environment_or_one_that_is_purged_is_refused(
    lab: Lab, cache: CheckpointCache
) -> None:
    episode, other = open_with(lab, cache), lab.open(env={"id": "other"}, checkpoints=cache)
    reset(episode)
    reset(other)
    path = episode.save_state()
    with pytest.raises(RequestInvalid, match="other in fake"):
        other.load_state(path)
    cache.remove(cache.records()[0].key)
    with pytest.raises(PathNotFound, match="purged"):
        episode.load_state(path)
