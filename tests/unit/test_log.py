from __future__ import annotations

import json
import logging
import re
import sys
import warnings

import pytest

from gym_queue.errors import StartupFailed
from gym_queue.log import LogFormat, configure_logging, line_of, log_ids


def test_a_line_carries_the_ids_around_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", ids={"worker_id": "w1"})
    with log_ids(env_id="e1"), log_ids(request_id="r1"):
        logging.getLogger("gym_queue.x").info("reset")
    logging.getLogger("gym_queue.x").info("idle")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("gym_queue.x: reset worker_id=w1 env_id=e1 request_id=r1")
    assert second.endswith("gym_queue.x: idle worker_id=w1")


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


def json_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_what_is_no_terminal_gets_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert configure_logging("info", form="auto", ids={"worker_id": "w1"}) is LogFormat.JSON
    with log_ids(env_id="e1", request_id="r1"):
        logging.getLogger("gym_queue.x").info("reset %d", 7)
    (line,) = json_lines(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("at"))
    assert line == {
        "level": "INFO",
        "logger": "gym_queue.x",
        "message": "reset 7",
        "worker_id": "w1",
        "env_id": "e1",
        "request_id": "r1",
    }


def test_a_terminal_gets_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert configure_logging(form="auto") is LogFormat.TEXT
    assert configure_logging(form="json") is LogFormat.JSON


def test_in_json_too_nothing_a_caller_chose_ends_a_line_or_passes_for_a_field(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(form="json")
    with log_ids(level="forged", message="forged"):
        logging.getLogger("gym_queue").info("left (%s)", 'bye\n{"level": "x"}\u2028\ud800\x1b')
    logging.getLogger("gym_queue").error("failed", exc_info=ValueError("two\nlines"))
    first, second = json_lines(capsys)
    assert (first["level"], first["message"]) == ("INFO", 'left (bye\n{"level": "x"}\u2028\ud800\x1b)')
    assert second["exception"].endswith("ValueError: two\nlines")


def test_libraries_and_warnings_come_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(form="json")
    logging.getLogger("uvicorn.error").error("refused")
    logging.getLogger("celery.worker").warning("retrying")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", stacklevel=1)
        logging.captureWarnings(False)
    assert [line["logger"] for line in json_lines(capsys)] == [
        "uvicorn.error",
        "celery.worker",
        "py.warnings",
    ]


def test_an_environment_that_a_sentence_names_is_an_id_of_its_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(form="json")
    logger = logging.getLogger("gym_queue.x")
    logger.info("the %s of environment %s died (status %s)", "process", "e7", -9)
    with log_ids(env_id="e1"):
        logger.info("environment %s is another's", "e7")
        with log_ids(request_id="r1"), log_ids(request_id=None):
            logger.info("on its own")
    lines = json_lines(capsys)
    assert [line.get("env_id") for line in lines] == ["e7", "e1", "e1"]
    assert "request_id" not in lines[2]


def test_a_line_that_can_be_asked_for_is_bounded_and_utf8() -> None:
    record = logging.LogRecord("l", logging.INFO, "p", 1, "x%s", ("\ud800" + "y" * 99_999,), None)
    line = line_of(record)
    assert len(line["text"].encode()) < 9000
    broken = logging.LogRecord("l", logging.INFO, "p", 1, "%d %d", ("x",), None)
    assert line_of(broken)["text"] == "%d %d"


def test_an_unknown_format_is_told() -> None:
    with pytest.raises(StartupFailed, match="xml"):
        configure_logging(form="xml")
