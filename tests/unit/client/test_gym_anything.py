from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gym_anything
import gym_queue

ROOT = Path(gym_anything.__file__).parent


def run(code: str, *path: Path) -> str:
    lines = f"import sys; sys.path[:0] = {[str(each) for each in path]!r}\n{code}"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def original(tmp_path):
    package = tmp_path / "site" / "gym_anything"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from gym_anything.remote import RemoteGymEnv\nfrom_config = 'theirs'\n"
    )
    (package / "remote.py").write_text("class RemoteGymEnv: ...\n")
    return package.parent


def test_it_hands_on_the_public_names():
    assert set(gym_anything.__all__) == set(gym_queue.__all__)
    for name in gym_queue.__all__:
        assert getattr(gym_anything, name) is getattr(gym_queue, name)
    with pytest.raises(AttributeError, match="nothing"):
        gym_anything.nothing  # noqa: B018


@pytest.mark.parametrize("module", ["gym_anything", "gym_anything.remote"])
def test_the_client_is_found_where_users_import_it_from(module):
    assert (
        run(f"from {module} import RemoteGymEnv as R; print(R.__module__)", ROOT) == "gym_queue.client.remote"
    )


def test_remote_is_a_name_in_it_too():
    assert (
        run("import gym_anything.remote; print(gym_anything.remote.RemoteGymEnv.__name__)", ROOT)
        == "RemoteGymEnv"
    )


def test_it_steps_aside_for_the_original_wherever_that_is_on_the_path(original):
    code = "import gym_anything, gym_anything.remote as r; print(gym_anything.from_config, r.RemoteGymEnv.__module__)"
    assert run(code, ROOT, original) == "theirs gym_anything.remote"
    assert run(code, original, ROOT) == "theirs gym_anything.remote"


def test_a_folder_that_only_shares_the_name_is_no_original(tmp_path):
    (tmp_path / "gym_anything").mkdir()
    assert run("from gym_anything import RemoteGymEnv as R; print(R.__module__)", ROOT, tmp_path)


def test_an_original_that_is_broken_says_so(original):
    (original / "gym_anything" / "__init__.py").write_text("raise RuntimeError('broken original')")
    code = "try:\n import gym_anything\nexcept RuntimeError as error:\n print(error, 'gym_anything' in sys.modules)"
    assert run(code, ROOT, original) == "broken original False"


def test_a_second_copy_of_itself_is_no_original(tmp_path):
    shutil.copy(gym_anything.__file__, tmp_path)
    for paths in ((ROOT, tmp_path), (tmp_path, ROOT)):
        assert run("from gym_anything import RemoteGymEnv as R; print(R.__module__)", *paths)
