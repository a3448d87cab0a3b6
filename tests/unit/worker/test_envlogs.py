"""What a worker keeps of each environment's lines: bounded, by time, and whole when the environment has gone."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gym_queue.log import log_ids
from gym_queue.worker import envlogs
from gym_queue.worker.envlogs import ENV_LOG, EnvLogFile, EnvLogs

logger = logging.getLogger("gym_queue.test")


@pytest.fixture
def logs() -> Iterator[EnvLogs]:
    kept, before = EnvLogs(), logger.level
    logger.addHandler(kept)
    logger.setLevel("DEBUG")
    yield kept
    logger.removeHandler(kept)
    logger.setLevel(before)


@pytest.fixture
def own(logs: EnvLogs, tmp_path: Path) -> Iterator[logging.Logger]:
    """What the process of e1 logs by."""
    logs.begin("e1")
    logs.make_file("e1", tmp_path)
    handler, own = EnvLogFile(tmp_path), logging.getLogger("gym_queue_env_test")
    own.propagate = False
    own.setLevel("DEBUG")
    own.addHandler(handler)
    yield own
    own.removeHandler(handler)
    handler.close()


def texts(logs: EnvLogs, env_id: str = "e1", limit: int = 1000) -> list[str]:
    return [line["text"] for line in logs.lines(env_id, limit) or []]


def test_lines_go_to_the_environment_that_is_around_them_or_that_they_name(logs: EnvLogs) -> None:
    logs.begin("e1")
    logs.begin("e2")
    with log_ids(env_id="e1", request_id="r1"):
        logger.info("opened")
    logger.warning("the %s of environment %s died", "process", "e2")
    logger.warning("of nobody")
    (line,) = logs.lines("e1", 10) or []
    assert (line["text"], line["request_id"], line["source"]) == ("opened", "r1", "worker")
    assert texts(logs, "e2") == ["the process of environment e2 died"]
    assert logs.lines("e3", 10) is None


def test_the_lines_of_worker_and_process_are_merged_by_time(logs: EnvLogs, own: logging.Logger) -> None:
    with log_ids(env_id="e1"):
        logger.info("one")
        # Past the logger: what pytest captures could not be sent to the process that collects it.
        record = logging.LogRecord("own", logging.WARNING, "p", 1, "two %s", ("\ud800 é",), None)
        own.handlers[0].handle(record)
        logger.info("three")
        own.error("four", exc_info=ValueError("why"))
    lines = logs.lines("e1", 10) or []
    assert [(line["source"], line["text"][:3]) for line in lines] == [
        *(("worker", "one"), ("env", "two"), ("worker", "thr"), ("env", "fou"))
    ]
    assert "ValueError: why" in lines[-1]["exception"]
    assert json.dumps(lines, ensure_ascii=False).encode()  # half a character would not be UTF-8
    assert texts(logs, limit=2) == ["three", "four"]


def test_what_an_environment_logged_is_there_when_its_folder_has_gone(
    logs: EnvLogs, own: logging.Logger, tmp_path: Path
) -> None:
    own.warning("last words")
    (tmp_path / ENV_LOG).unlink()
    logs.end("e1")
    with log_ids(env_id="e1"):
        logger.info("closed")
    assert texts(logs) == ["last words", "closed"]


def test_only_the_latest_that_ended_are_remembered_and_their_files_are_closed(
    logs: EnvLogs, tmp_path: Path
) -> None:
    before = psutil.Process().num_fds()
    for number in range(envlogs.ENDED + 5):
        folder = tmp_path / str(number)
        folder.mkdir()
        logs.begin(f"e{number}")
        logs.make_file(f"e{number}", folder)
        logs.end(f"e{number}")
    assert psutil.Process().num_fds() == before
    assert [logs.lines(f"e{number}", 1) for number in (0, 4, 5)] == [None, None, []]


def test_a_talkative_worker_keeps_the_latest_lines_within_its_bounds(logs: EnvLogs) -> None:
    logs.begin("e1")
    with log_ids(env_id="e1"):
        for number in range(envlogs.LINES + 10):
            logger.info("line %d", number)
        assert len(texts(logs, limit=5000)) == envlogs.LINES
        for _ in range(100):
            logger.info("x" * 7000)
    assert sum(map(len, texts(logs))) <= envlogs.BYTES


def test_a_talkative_environment_keeps_the_latest_lines_within_its_file(
    logs: EnvLogs, own: logging.Logger, tmp_path: Path
) -> None:
    for number in range(600):
        own.info("%d %s", number, "x" * 4000)
    assert (tmp_path / ENV_LOG).stat().st_size <= envlogs.FILE_BYTES
    found = texts(logs)
    assert found[-1].startswith("599 ")
    assert [int(text.split()[0]) for text in found] == list(range(600 - len(found), 600))


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff\xfe\n",
        b'null\n[]\n5\n"x"\n',
        b'{"at": 1}\n',
        b'{"at": "x", "level": "INFO", "logger": "l", "text": "t"}\n',
        b'{"at": 1e400, "level": "INFO", "logger": "l", "text": "t"}\n',
        b'{"at": NaN, "level": "INFO", "logger": "l", "text": "t"}\n',
        b'{"at": %b, "level": "INFO", "logger": "l", "text": "t"}\n' % (b"9" * 400),
        b'{"at": 1, "level": ["INFO"], "logger": "l", "text": "t"}\n',
        b'{"at": 1, "level": "LOUD", "logger": "l", "text": "t"}\n',
        b"[" * 100_000 + b"\n",
        b"x" * 900_000 + b"\n",
    ],
)
def test_what_programs_of_the_environment_write_there_breaks_nothing(
    logs: EnvLogs, own: logging.Logger, tmp_path: Path, junk: bytes
) -> None:
    with (tmp_path / ENV_LOG).open("ab") as file:
        file.write(junk)
    own.info("after")
    assert texts(logs) == ["after"]


def test_a_forged_line_is_cut_and_says_whose_it_is(
    logs: EnvLogs, own: logging.Logger, tmp_path: Path
) -> None:
    forged = {"at": 1.0, "level": "INFO", "logger": "gym_queue.worker.host", "text": "t" * 99_999}
    with (tmp_path / ENV_LOG).open("a") as file:
        file.write(json.dumps({**forged, "source": "worker", "more": "x" * 9999}) + "\n")
    (line,) = logs.lines("e1", 10) or []
    assert (line["source"], len(line["text"]), "more" in line) == ("env", 8000, False)


def test_the_file_is_the_workers_own_and_none_that_lay_there(logs: EnvLogs, tmp_path: Path) -> None:
    logs.begin("e1")
    (tmp_path / ENV_LOG).symlink_to("/etc/hostname")
    with pytest.raises(OSError):
        logs.make_file("e1", tmp_path)
    with pytest.raises(OSError):
        EnvLogFile(tmp_path)
