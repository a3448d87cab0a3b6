"""The wheel alone in an empty environment: its programs, its types, and what it says of extras that it lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gym_queue.version import __version__
from tests.acceptance.conftest import Place
from tests.release.conftest import Installed

USER_PROGRAM = """\
from gym_queue import RemoteGymEnv

with RemoteGymEnv.from_config("http://localhost:5800", "terminal_env", task_id="largest_file") as env:
    observation, reward, done, info = env.step([{"keyboard": {"text": "ls"}}], mark_done=True)
    total: float = reward
    wrong: str = reward
"""
RECORD = """\
from pathlib import Path
from gym_queue.env.recording import EpisodeRecording
from gym_queue.specs.env import EnvSpec

class Desktop:
    def open_camera(self): ...

seen = {"type": "rgb_screen", "resolution": [64, 48]}
spec = EnvSpec(id="e", observation=[seen], action=[{"type": "mouse"}], recording={"enable": True})
recording = EpisodeRecording(spec)
recording.begin(Desktop(), Path("."))
raise SystemExit(recording.note)
"""

pytestmark = pytest.mark.timeout(240)  # the first to ask for the environment waits until it is installed


def said(ran: subprocess.CompletedProcess[str]) -> str:
    return " ".join((ran.stdout + ran.stderr).split())


def test_the_demo_plays_every_task_through_a_fleet_and_leaves_nothing(
    installed: Installed, place: Place
) -> None:
    ran = installed.run(place, "gym-anything", "demo")
    assert ran.returncode == 0, said(ran)
    assert "12 passed, 0 failed, 0 errors of 12" in said(ran)
    place.wait_empty()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("gym-anything", "--version"), __version__),
        (("gym-anything", "list"), "terminal_env"),
        (("gym-anything-master", "--help"), "--broker-url"),
        (("gym-anything-worker", "--help"), "--master-url"),
        (("gym-anything-dashboard", "--help"), "--master-url"),
        (("python", "-c", "import gym_queue; print(gym_queue.__file__)"), "installed/lib/"),
        (("python", "-c", "from gym_anything.remote import RemoteGymEnv as E; print(E)"), "gym_queue.client"),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_every_program_starts_without_the_source_tree(
    installed: Installed, place: Place, command: tuple[str, ...], answer: str
) -> None:
    ran = installed.run(place, *command)
    assert (ran.returncode, answer in said(ran)) == (0, True), said(ran)


def test_a_users_program_is_checked_against_the_packages_types(installed: Installed, place: Place) -> None:
    program = place.folder / "program.py"
    program.write_text(USER_PROGRAM)
    found = Path(sys.executable).with_name("mypy")
    flags = ("--strict", "--cache-dir", str(place.folder / "cache"), "--python-executable")
    ran = subprocess.run(
        [found, *flags, installed.python, program],
        cwd=place.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    (error, _) = ran.stdout.splitlines()
    assert error.startswith("program.py:6: error: Incompatible types in assignment"), ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("extra", "command", "variables"),
    [
        ("agents", "gym-anything benchmark terminal_env --agent ClaudeAgent --agent-arg model=m", {}),
        ("agents", "gym-anything benchmark terminal_env --agent OpenAIAgent --agent-arg model=m", {}),
        ("docker", "gym-anything run desktop_env", {}),
        ("docker", "gym-anything doctor --runner docker", {}),
        ("otel", "gym-anything-master --port 0", {"GYM_ANYTHING_OTEL": "1"}),
        ("tls", "gym-anything up --tls", {}),
    ],
)
def test_a_program_without_an_extra_says_which_to_install(
    installed: Installed, place: Place, extra: str, command: str, variables: dict[str, str]
) -> None:
    ran = installed.run(place, *command.split(), **variables)
    assert ran.returncode in (1, 2), said(ran)
    assert f"pip install 'gym-queue[{extra}]'" in said(ran)
    assert "Traceback" not in said(ran)


@pytest.mark.parametrize(
    ("extra", "code"), [("gymnasium", "import gym_queue.gymnasium"), ("recording", RECORD)]
)
def test_a_module_without_its_extra_says_which_to_install(
    installed: Installed, place: Place, extra: str, code: str
) -> None:
    ran = installed.run(place, "python", "-c", code)
    assert ran.returncode == 1
    assert f"pip install 'gym-queue[{extra}]'" in ran.stderr.splitlines()[-1]
