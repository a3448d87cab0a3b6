"""What a master writes down is there for the next one, wherever it is kept."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gym_queue.broker.app import make_app
from gym_queue.broker.embedded import EmbeddedBroker
from gym_queue.broker.store import KEY, FileStore, RedisStore, Store
from gym_queue.errors import BrokerUnavailable, Infrastructure


@pytest.fixture(params=["redis", "file"])
def open_store(request, broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    opened: list[Store] = []

    def make(name: str = "m1") -> Store:
        app = make_app(broker.url, name="test")
        opened.append(RedisStore(app, name) if request.param == "redis" else FileStore(tmp_path / name))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def test_a_new_store_is_empty(open_store):
    assert open_store().load() == {}


def test_what_was_saved_is_found_by_the_next_one(open_store):
    first = open_store()
    first.save({"a": "1", "b": "2", "c": "ü"})
    first.save({"a": None, "b": "3", "never": None})
    assert open_store().load() == {"b": "3", "c": "ü"}


def test_a_replacement_leaves_nothing_else(open_store):
    store = open_store()
    store.save({"a": "1"})
    store.save({"b": "2"}, replace=True)
    assert store.load() == {"b": "2"}
    store.save({}, replace=True)
    assert store.load() == {}


def test_masters_do_not_mix(open_store):
    open_store("m1").save({"a": "1"})
    assert open_store("m2").load() == {}


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    FileStore(tmp_path / "state").save({"a": "1"})
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o600


@pytest.mark.parametrize("begin", ["load", "replace"])
def test_a_file_that_is_no_store_is_put_aside_with_its_log_and_a_new_one_begun(
    tmp_path: Path, begin: str
) -> None:
    for name in ("state", "state-wal"):
        (tmp_path / name).write_text("no database " * 100)
    store = FileStore(tmp_path / "state")
    with pytest.raises(Infrastructure, match=r"is kept as .*state\.unreadable-"):
        store.load() if begin == "load" else store.save({}, replace=True)
    assert len(list(tmp_path.glob("state.unreadable-*"))) >= 1
    store.save({"a": "1"})
    assert store.load() == {"a": "1"}
    store.close()


def test_a_file_out_of_reach_is_named_and_stays(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(Infrastructure, match="mend or delete it"):
        FileStore(tmp_path / "state").load()
    assert (tmp_path / "state").is_dir()


def test_what_is_no_text_is_left_out(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    store = RedisStore(make_app(broker.url, name="test"), "m1")
    store.save({"a": "1"})
    with make_app(broker.url, name="test").connection_for_write() as connection:
        channel: Any = connection.default_channel
        channel.client.hset(f"{KEY}.m1", mapping={b"b": b"\xff", b"\xfe": b"2"})
    assert store.load() == {"a": "1"}
    assert "no UTF-8" in caplog.text
    store.close()


def test_a_redis_that_is_away_is_named_and_found_again(broker: EmbeddedBroker) -> None:
    store = RedisStore(make_app(broker.url, name="test"), "m1")
    store.save({"a": "1"})
    url = broker.url
    broker.stop()
    with pytest.raises(BrokerUnavailable):
        store.save({"b": "2"})
    assert broker.start() == url
    store.save({"b": "2"})
    assert store.load()["b"] == "2"
    store.close()
