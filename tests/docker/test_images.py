"""Images of Dockerfiles: built once for one content, whoever asks, and their failures shown."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from gym_queue.errors import RunnerFailed, SpecNotFound
from gym_queue.runners.docker.client import Daemon
from gym_queue.runners.docker.create import ImageFacts
from gym_queue.runners.docker.image import BUILD_LABEL, REPOSITORY, BuildContext, Images, build_arguments
from tests.docker.conftest import make_spec


@pytest.fixture
def env_dir(tmp_path: Path, image: str, daemon: Daemon) -> Iterator[Path]:
    folder = tmp_path / "env"
    folder.mkdir()
    (folder / "content").write_text(str(uuid.uuid4()))
    (folder / "Dockerfile").write_text(
        f"ARG BASE={image}\nFROM $BASE\nCOPY content /content\nRUN echo once was built\n"
    )
    yield folder
    context = BuildContext(folder / "Dockerfile", build_arguments(make_spec({})))
    for each in daemon.sdk.images.list(name=REPOSITORY, filters={"dangling": False}):
        if f"{REPOSITORY}:{context.digest()}" in each.tags:
            daemon.sdk.images.remove(str(each.id), force=True)


@pytest.fixture
def images(daemon: Daemon, tmp_path: Path) -> Images:
    return Images(daemon, tmp_path / "locks")


def test_a_dockerfile_is_built_once_and_its_log_is_told(
    images: Images, env_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = make_spec({"dockerfile": "Dockerfile"})
    with caplog.at_level(logging.INFO):
        first = images.ensure(spec, env_dir)
        assert "once was built" in caplog.text
        caplog.clear()
        assert images.ensure(spec, env_dir) == first
        assert "once was built" not in caplog.text


def test_two_that_ask_at_once_build_once(
    images: Images, env_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[ImageFacts] = []
    spec = make_spec({"dockerfile": "Dockerfile"})
    threads = [threading.Thread(target=lambda: found.append(images.ensure(spec, env_dir))) for _ in range(2)]
    with caplog.at_level(logging.INFO):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found[0] == found[1]
    assert [each.message for each in caplog.records if each.message.startswith("building")] == [
        caplog.messages[0]
    ]


def test_other_content_is_another_image(images: Images, env_dir: Path, daemon: Daemon) -> None:
    spec = make_spec({"dockerfile": "Dockerfile"})
    first = images.ensure(spec, env_dir)
    (env_dir / "content").write_text("other")
    second = images.ensure(spec, env_dir)
    assert first.id != second.id
    assert daemon.sdk.images.get(second.id).labels[BUILD_LABEL]
    daemon.sdk.images.remove(first.id, force=True)


def test_a_dockerfile_that_fails_shows_its_last_twenty_lines(images: Images, env_dir: Path) -> None:
    loud = "for i in $(seq 100); do echo line $i; done; echo broken; exit 9"
    (env_dir / "Dockerfile").write_text((env_dir / "Dockerfile").read_text() + f"RUN {loud}\n")
    with pytest.raises(RunnerFailed, match=r"(?s)returned a non-zero code: 9.*line 100") as raised:
        images.ensure(make_spec({"dockerfile": "Dockerfile"}), env_dir)
    assert len(raised.value.details["build_log"]) == 20
    assert "broken" in raised.value.details["build_log"]


def test_a_dockerfile_that_is_none_is_refused(images: Images, env_dir: Path) -> None:
    (env_dir / "Dockerfile").write_text("NONSENSE\n")
    with pytest.raises(RunnerFailed, match="unknown instruction"):
        images.ensure(make_spec({"dockerfile": "Dockerfile"}), env_dir)


def test_a_base_that_cannot_be_pulled_is_the_reason(images: Images, env_dir: Path) -> None:
    (env_dir / "Dockerfile").write_text("FROM localhost:9/no/such\n")
    with pytest.raises(RunnerFailed, match="localhost:9"):
        images.ensure(make_spec({"dockerfile": "Dockerfile"}), env_dir)


def test_a_dockerfile_that_is_not_there_is_named_with_where_it_was_looked_for(
    images: Images, env_dir: Path
) -> None:
    with pytest.raises(SpecNotFound, match=r"no dockerfile 'other/Dockerfile'; tried"):
        images.ensure(make_spec({"dockerfile": "other/Dockerfile"}), env_dir)
