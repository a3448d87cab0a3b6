"""Every code block of every page runs, is read as data, or says why not."""

from __future__ import annotations

import json
import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gym_queue.specs.env import EnvSpec
from gym_queue.specs.task import Success, TaskSpec
from tests.docs.pages import DATA, PAGES, SHELL, Block, blocks_of, name_of, starts_commands
from tests.docs.stage import Stage

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
ASKING = (
    "localhost:5800",
    "gym-anything status",
    "gym-anything top",
    "gym-anything drain",
    "gym-anything logs",
)


def is_acted(block: Block) -> bool:
    return block.is_run_here and (block.language in (*SHELL, "python") or "file" in block.directives)


ACTED_PAGES = [page for page in PAGES if any(is_acted(block) for block in blocks_of(page))]


@pytest.mark.timeout(300)  # a dozen programs, one after the other
@pytest.mark.parametrize("page", ACTED_PAGES, ids=name_of)
def test_a_page_can_be_followed(
    page: Path, place: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [block for block in blocks_of(page) if is_acted(block)]
    folder = place / page.stem
    folder.mkdir()
    monkeypatch.chdir(folder)
    stage = Stage(folder, master_of(blocks, request))
    try:
        for block in blocks:
            stage.play(block)
    finally:
        stage.stop()


def master_of(blocks: list[Block], request: pytest.FixtureRequest) -> str:
    """Return the shared cluster's URL, or a free one for the cluster that the page itself starts."""
    if any("gym-anything up" in block.text for block in blocks):
        with socket.create_server(("127.0.0.1", 0)) as free:
            return f"http://127.0.0.1:{free.getsockname()[1]}"
    if any(word in block.text for block in blocks for word in ASKING):
        return str(request.getfixturevalue("fleet").url)
    return "http://127.0.0.1:9"


@pytest.mark.parametrize("block", [block for block in BLOCKS if "not run" in block.directives], ids=str)
def test_a_block_that_is_not_run_says_why(block: Block) -> None:
    pytest.skip(f"{block} is not run: {block.directives['not run']}")


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.is_run_here], ids=str)
def test_every_other_block_is_one_that_can_be_run_or_read(block: Block) -> None:
    if block.language in DATA:
        check_specs(parsed(block))
    elif block.language == "text":
        assert not starts_commands(block.text), f"{block} holds commands: call it bash"
    else:
        assert block.language in (*SHELL, "python") or "file" in block.directives, (
            f"{block}: say before it <!-- run by TEST --> or <!-- not run: WHY -->"
        )


def parsed(block: Block) -> Any:
    if block.language == "json":
        return json.loads(block.text)
    return tomllib.loads(block.text) if block.language == "toml" else list(yaml.safe_load_all(block.text))


def check_specs(content: Any) -> None:
    """Read what looks like an env.json, a task.json or a part of one as such."""
    match content:
        case {"observation": _, "action": _}:
            EnvSpec.model_validate(content)
        case {"id": _, "env_id": _} | {"success": _}:
            TaskSpec.model_validate({"id": "x", **content})
        case {"mode": _, "spec": _}:
            Success.model_validate(content)
