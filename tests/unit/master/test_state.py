"""Which state a master takes for its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from gym_queue.errors import StartupFailed
from gym_queue.master.state import Place, hold, place_of, restore
from gym_queue.protocol.sessions import CreateReply
from gym_queue.settings import MasterSettings
from tests.unit.master.test_restore import lives

SHARED = "redis://broker:6379/0"


def name(port: int = 5800, **settings) -> str:
    return place_of(MasterSettings(**settings), port).name


def test_the_same_settings_find_the_same_state():
    assert name(broker_url=SHARED) == name(broker_url=SHARED)


def test_masters_that_share_a_broker_have_states_of_their_own():
    names = {
        name(broker_url=SHARED),
        name(5801, broker_url=SHARED),
        name(broker_url=SHARED, state_dir=Path("/a")),
        name(broker_url=SHARED, state_dir=Path("/b")),
    }
    assert len(names) == 4


def test_an_embedded_brokers_state_is_its_folders_whatever_the_port():
    assert name(1, state_dir=Path("/a")) == name(2, state_dir=Path("/a"))


def test_a_folder_is_held_by_one_master_and_free_again_after_it(tmp_path):
    place = Place(tmp_path / "state", "own")
    with hold(place), pytest.raises(StartupFailed, match="another master uses the state folder"), hold(place):
        pass
    with hold(place):
        pass


def test_a_program_that_the_holder_starts_outlives_it_without_the_lock(tmp_path):
    code = (
        "import sys,subprocess,pathlib; from gym_queue.master.state import Place, hold\n"
        "with hold(Place(pathlib.Path(sys.argv[1]), 'own')):\n"
        "    subprocess.Popen(['cat'], close_fds=False); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
        holder.wait()
        with hold(Place(tmp_path, "own")):
            pass


@lives
async def test_what_was_written_of_a_worker_that_is_gone_is_lost(old):
    old.register("w1", runners=["local"])
    old.routes.reserve("e1", "w1", "http://w1:5900")
    old.routes.ready(CreateReply(env_id="e1"))
    del old.notebook.facts["worker"]["w1"]
    new = old.next()
    desk = new.desk()
    restore(old.notebook.facts, new.fleet, new.routes, desk.creates)
    assert new.routes.ended("e1") == "its worker w1 is gone"
