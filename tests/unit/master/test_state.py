"""Which state a master takes for its own."""

from pathlib import Path

from gym_queue.master.state import place_of, restore
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
