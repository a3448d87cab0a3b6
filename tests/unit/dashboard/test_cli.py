from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import typer

from gym_queue.cli.common import run_typer, settings_from
from gym_queue.cli.dashboard import main
from gym_queue.errors import RequestInvalid, StartupFailed
from gym_queue.settings import MasterSettings
from gym_queue.web.server import bind


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a program with flags; returns its exit status and standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setenv("GYM_ANYTHING_TOKEN", "hush")

    def run_with(program, *flags: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["program", *flags])
        with pytest.raises(SystemExit) as ended:
            program()
        return ended.value.code, capsys.readouterr().err

    yield run_with
    root.handlers[:] = handlers
    root.setLevel(level)


def _raising(error: BaseException | None):
    app = typer.Typer(add_completion=False)

    @app.command()
    def command() -> None:
        if error is not None:
            raise error

    return lambda: run_typer(app)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (None, 0, ""),
        (StartupFailed("it is down"), 1, "error: it is down\n"),
        (RequestInvalid("--x is wrong"), 2, "error: --x is wrong\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_one_line_and_a_status(run, error, status, told):
    assert run(_raising(error)) == (status, told)


def test_a_bug_is_one_line_too(run):
    status, told = run(_raising(ValueError("odd")))
    assert status == 1
    assert told.startswith("error: ValueError: odd (a bug")
    assert "Traceback" not in told


def test_a_setting_that_is_wrong_names_its_variable(monkeypatch):
    monkeypatch.setenv("GYM_ANYTHING_MASTER_PORT", "many")
    with pytest.raises(RequestInvalid, match=r"port.*GYM_ANYTHING_MASTER_PORT"):
        settings_from(MasterSettings, host=None)
    assert settings_from(MasterSettings, port=7).port == 7


@pytest.mark.parametrize(
    "flags", [["--port", "many"], ["--port", "70000"], ["--nope"], ["--log-level", "loud"]]
)
def test_a_wrong_flag_is_a_usage_error(run, flags):
    assert run(main, *flags)[0] == 2


@pytest.mark.parametrize("url", ["localhost:5800", "ftp://host", "http://me:secret@host", "http://host?x=1"])
def test_a_master_url_that_is_none_is_a_usage_error_that_repeats_no_secret(run, url):
    status, told = run(main, "--master-url", url)
    assert status == 2
    assert told.startswith("error: the master URL is not valid")
    assert "secret" not in told


def test_a_taken_port_is_one_line(run):
    with bind("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        status, told = run(main, "--port", port)
    assert status == 1
    assert told.startswith(f"error: port {port} on 127.0.0.1 is taken")


@contextmanager
def _started(stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "gym_queue.cli.dashboard", "--port", "0"]
    environment = {**os.environ, "GYM_ANYTHING_TOKEN": "a/b c"}
    with subprocess.Popen(command, stdout=stdout, env=environment) as process:
        os.close(stdout)
        try:
            yield process
        finally:
            process.kill()


def _first_line(fd: int) -> str:
    with os.fdopen(fd, "rb", buffering=0) as file:
        return file.readline().decode()


def test_a_log_gets_the_link_without_the_token_and_sigterm_ends_it():
    ours, theirs = os.pipe()
    with _started(theirs) as process:
        line = _first_line(ours)
        process.terminate()
        assert process.wait(30) == 0
    assert line.startswith("dashboard: http://localhost:")
    assert "a/b" not in line


def test_a_terminal_gets_the_link_with_the_token():
    ours, theirs = os.openpty()
    with _started(theirs):
        line = _first_line(ours)
    assert line.strip().endswith("/dashboard?token=a%2Fb%20c")
