from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from gym_queue.errors import StartupFailed
from gym_queue.log import configure_logging, log_ids


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("gym_queue")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_a_line_carries_the_ids_around_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    with log_ids(env_id="e1"), log_ids(request_id="r1"):
        logging.getLogger("gym_queue.x").info("reset")
    logging.getLogger("gym_queue.x").info("idle")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("gym_queue.x: reset env_id=e1 request_id=r1")
    assert second.endswith("gym_queue.x: idle")


def test_other_packages_are_heard_from_warnings_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug")
    logging.getLogger("other").info("chatter")
    logging.getLogger("other").warning("matter")
    logging.getLogger("gym_queue").debug("detail")
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["matter", "detail"]


def test_what_a_caller_chose_makes_no_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logging.getLogger("gym_queue").info("left (%s)", "bye\n12:00:00 ERROR forged\x1b[31m\u2028\ud800é")
    logging.getLogger("gym_queue").error("failed", exc_info=ValueError("two\nlines"))
    first, second, *traceback = capsys.readouterr().err.split("\n")
    assert first.endswith("left (bye\\n12:00:00 ERROR forged\\x1b[31m\\u2028\\ud800é)")
    assert second.endswith("failed")
    assert traceback == ["ValueError: two", "lines", ""]


def test_configuring_twice_says_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    configure_logging()
    logging.getLogger("gym_queue").info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_an_unknown_level_is_told() -> None:
    with pytest.raises(StartupFailed, match="loud"):
        configure_logging("loud")
