from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gym_queue.cli.cache import app
from gym_queue.env.checkpoints import CheckpointCache
from gym_queue.errors import RequestInvalid
from tests.unit.env.conftest import Lab, reset


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Path:
    cache = CheckpointCache(tmp_path / "cache")
    for name in ("first", "second"):
        episode = lab.open(env={"id": name, "hooks": {"pre_start": ["echo x > y"]}}, checkpoints=cache)
        reset(episode, use_cache=True)
        episode.close()
    episode = lab.open(env={"id": "third"}, checkpoints=cache)
    reset(episode)
    episode.save_state()
    return cache.root


def run(folder: Path, *words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--checkpoint-dir", str(folder)], catch_exceptions=True)
    if isinstance(result.exception, RequestInvalid):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def names(folder: Path) -> set[str]:
    return {record["env"] for record in json.loads(run(folder, "list", "--json"))}


def test_the_list_shows_what_is_kept(folder: Path) -> None:
    shown = run(folder, "list")
    assert "first" in shown
    assert "pre_start" in shown
    assert "files" in shown
    assert "machine" in shown  # the state
    assert "3 checkpoints" in shown


def test_an_empty_cache_says_so(tmp_path: Path) -> None:
    assert "use_cache" in run(tmp_path / "none", "list")


def test_purge_removes_what_was_named_and_no_state(folder: Path) -> None:
    assert "removed 1 " in run(folder, "purge", "--env", "first")
    assert names(folder) == {"second", "third"}
    assert "removed 0 " in run(folder, "purge", "--unused-for", "1d")
    assert "removed 1 " in run(folder, "purge", "--all")
    assert names(folder) == {"third"}
    assert "removed 1 " in run(folder, "purge", "--all", "--states")
    assert names(folder) == set()


def test_purge_takes_the_start_of_a_key(folder: Path) -> None:
    key = json.loads(run(folder, "list", "--json"))[0]["key"]
    assert "removed 1 " in run(folder, "purge", key[:12] if not key.startswith("state") else key)


@pytest.mark.parametrize("words", [["purge"], ["purge", "nosuchkey"], ["purge", "--unused-for", "soon"]])
def test_what_makes_no_sense_is_refused(folder: Path, words: list[str]) -> None:
    with pytest.raises(RequestInvalid):
        run(folder, *words)
    assert len(names(folder)) == 3
