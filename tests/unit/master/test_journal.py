"""Notes are written behind the master's back, and survive the store's outages."""

import threading

import pytest

from gym_queue.errors import BrokerUnavailable, Infrastructure
from gym_queue.master import journal as module
from gym_queue.master.journal import Journal


class Shelf:
    """A store in memory that can be away."""

    def __init__(self):
        self.texts: dict[str, str] = {}
        self.is_away, self.error = False, BrokerUnavailable
        self.tried = threading.Event()

    def load(self):
        self._check()
        return dict(self.texts)

    def save(self, changes, *, replace=False):
        self.tried.set()
        self._check()
        if replace:
            self.texts.clear()
        for name, text in changes.items():
            if text is None:
                self.texts.pop(name, None)
            else:
                self.texts[name] = text

    def close(self):
        pass

    def _check(self):
        if self.is_away:
            raise self.error("away")


@pytest.fixture
def shelf(monkeypatch):
    monkeypatch.setattr(module, "PAUSE_S", 0.01)
    return Shelf()


@pytest.fixture
def start(shelf):
    started = []

    def make(*, fresh=False):
        journal = Journal(shelf)
        facts = journal.load(fresh=fresh)
        journal.start()
        started.append(journal)
        return journal, facts

    yield make
    for journal in started:
        journal.stop()


def test_notes_are_found_by_kind_and_key(shelf, start):
    journal, _ = start()
    journal.note("route", "a:b", "1")
    journal.note("route", "c", "2")
    journal.note("route", "c", None)
    assert journal.wait_written(5)
    assert start()[1] == {"route": {"a:b": "1"}}


def test_what_is_noted_while_the_store_is_away_is_written_when_it_is_back(shelf, start):
    journal, _ = start()
    shelf.is_away = True
    journal.note("route", "a", "1")
    assert shelf.tried.wait(5)
    journal.note("route", "a", "2")
    assert not journal.wait_written(0.05)
    shelf.is_away = False
    assert journal.wait_written(5)
    assert shelf.texts == {"route:a": "2"}


@pytest.mark.parametrize(
    ("error", "left"),
    [(BrokerUnavailable, {"route:old": "1", "route:a": "1"}), (Infrastructure, {"route:a": "1"})],
)
def test_a_store_that_was_away_is_added_to_and_one_that_is_unreadable_is_replaced(shelf, start, error, left):
    shelf.texts["route:old"] = "1"
    shelf.is_away, shelf.error = True, error
    journal, facts = start()
    assert (facts, journal.is_unread) == ({}, True)
    shelf.is_away = False
    journal.note("route", "a", "1")
    assert journal.wait_written(5)
    assert shelf.texts == left


def test_a_fresh_start_forgets_the_past(shelf, start):
    shelf.texts["route:old"] = "1"
    journal, facts = start(fresh=True)
    journal.stop()
    assert (facts, shelf.texts) == ({}, {})


def test_the_end_writes_what_is_left(shelf, start):
    journal, _ = start()
    journal.note("route", "a", "1")
    journal.stop()
    assert shelf.texts == {"route:a": "1"}
