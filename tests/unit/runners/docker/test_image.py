from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from gym_queue.errors import SpecInvalid, SpecNotFound
from gym_queue.runners.docker.image import BUILD_ARGS_VARIABLE, BuildContext, build_arguments, find_dockerfile
from gym_queue.specs.env import EnvSpec


def make_spec(**fields: object) -> EnvSpec:
    return EnvSpec.model_validate(
        {"id": "e", "observation": [{"type": "x"}], "action": [{"type": "y"}], **fields}
    )


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_text("content")
    (tmp_path / "Dockerfile").write_text("FROM x\n")
    return BuildContext(tmp_path / "Dockerfile")


def test_one_content_has_one_digest_whenever_it_was_written(context: BuildContext):
    before = context.digest()
    os.utime(context.folder / "sub" / "file", (1, 1))
    assert context.digest() == before


@pytest.mark.parametrize("change", ["content", "rights", "name", "link"])
def test_other_content_rights_or_names_are_another_digest(context: BuildContext, change: str):
    before, file = context.digest(), context.folder / "sub" / "file"
    if change == "content":
        file.write_text("Content")
    elif change == "rights":
        file.chmod(0o700)
    elif change == "name":
        file.rename(file.with_name("other"))
    else:
        (context.folder / "link").symlink_to("sub")
    assert context.digest() != before


def test_arguments_are_part_of_the_digest(context: BuildContext):
    assert BuildContext(context.dockerfile, {"BASE": "y"}).digest() != context.digest()


def test_what_dockerignore_names_is_neither_sent_nor_counted(context: BuildContext):
    (context.folder / ".dockerignore").write_text("# a comment\nsecret\n")
    before = context.digest()
    (context.folder / "secret").write_text("x")
    assert context.digest() == before
    packed = io.BytesIO()
    context.pack(packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        assert set(tar.getnames()) == {".dockerignore", "Dockerfile", "sub", "sub/file"}


def test_the_specs_arguments_go_over_the_operators(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(BUILD_ARGS_VARIABLE, "BASE=a, OTHER=b=c")
    assert build_arguments(make_spec(build_args={"BASE": "mine"})) == {"BASE": "mine", "OTHER": "b=c"}


def test_arguments_that_are_no_object_are_refused():
    with pytest.raises(SpecInvalid, match="build_args"):
        build_arguments(make_spec(build_args=["x"]))


def test_a_dockerfile_is_looked_for_in_the_env_folder_then_where_the_worker_runs(
    context: BuildContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    assert find_dockerfile("Dockerfile", context.folder) == context.dockerfile
    monkeypatch.chdir(context.folder.parent)
    assert find_dockerfile(f"{context.folder.name}/Dockerfile", None) == context.dockerfile
    with pytest.raises(SpecNotFound, match="tried"):
        find_dockerfile("none/Dockerfile", tmp_path)
