"""Commands of a sandbox that lives on this host: a clean environment, a deadline, bounded output."""

from __future__ import annotations

import os
import pwd
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from gym_queue.errors import EnvTimeout, RunnerFailed, RunnerUnavailable
from gym_queue.runners.base import ExecResult, RunnerSetup
from gym_queue.runners.hostfiles import HostHome
from gym_queue.runners.processes import ENV_MARK, kill_session
from gym_queue.runners.tail import MAX_OUTPUT_BYTES, Tail

POLL_S = 0.05
"""How often to look whether a command ended whose background children keep its output open."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def search_path() -> str:
    """Return the PATH of host sandboxes: the system's folders, none of the parent's own."""
    return f"/opt/homebrew/bin:{SYSTEM_PATH}" if sys.platform == "darwin" else SYSTEM_PATH


def find_bash() -> str:
    """Return where bash is.

    Raises:
        RunnerUnavailable: This machine has none.
    """
    bash = shutil.which("bash", path=search_path())
    if bash is None:
        raise RunnerUnavailable(f"the local runner needs bash in one of {search_path()}: install bash")
    return bash


def clean_environment(setup: RunnerSetup, home: HostHome, bash: str) -> dict[str, str]:
    """Return the variables of everything that runs inside: none of this process's own are handed on."""
    path = search_path()
    editor = next((name for name in ("nano", "vim", "vi") if shutil.which(name, path=path)), "vi")
    user = _user_name()
    return {
        "PATH": path,
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "HOME": str(home.path),
        "TMPDIR": str(home.tmp),
        "USER": user,
        "LOGNAME": user,
        "SHELL": bash,
        "EDITOR": editor,
        "PYTHONHASHSEED": str((setup.seed or 0) % 2**32),
        **setup.variables,
        ENV_MARK: setup.env_id,
    }


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container that runs under a bare number
        return str(os.getuid())


class HostExec:
    """Runs commands in login shells of their own sessions.

    Args:
        bash: Where bash is.
        cwd: The folder they start in.
        environment: All their variables.
    """

    def __init__(self, bash: str, cwd: Path, environment: Mapping[str, str]) -> None:
        self._bash, self._cwd, self._environment = bash, cwd, environment
        self._is_closed = False
        self._starting = threading.Lock()

    def close(self) -> None:
        """Make running and coming commands fail; ending their processes is the sweep's part.

        None starts from its return on, and those that did have all been marked as the environment's by then.
        """
        with self._starting:
            self._is_closed = True

    def run(self, command: str, *, timeout_s: float) -> ExecResult:
        """Run a command to its end.

        Raises:
            EnvTimeout: It ran longer than ``timeout_s``; its whole session was killed.
            RunnerFailed: The sandbox is closed, or was closed meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        with self._start(command) as process:
            assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
            try:
                output = Tail(MAX_OUTPUT_BYTES)
                status = self._follow(process, process.stdout, output, deadline)
                if status is None:
                    raise EnvTimeout(
                        f"the command ran longer than {timeout_s:g} s and was killed: {command[:200]}",
                        {"output": output.text()[-2000:]},
                    )
            finally:
                if process.poll() is None:
                    kill_session(process.pid)
        self._check_open()
        return ExecResult(status if status >= 0 else 128 - status, output.text())

    def _check_open(self) -> None:
        if self._is_closed:
            raise RunnerFailed("the environment was closed: create a new one")

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        with (
            self._starting
        ):  # one that starts while the sandbox is swept would get away, and run to its timeout
            self._check_open()
            return self._spawn(command)

    def _spawn(self, command: str) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [self._bash, "-lc", command],
                cwd=self._cwd,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise RunnerFailed(f"bash cannot be started in {self._cwd}: {error.strerror}") from error

    def _follow(
        self, process: subprocess.Popen[bytes], pipe: IO[bytes], output: Tail, deadline: float
    ) -> int | None:
        """Collect output until the command ends, and return its status; None when its time is over."""
        os.set_blocking(pipe.fileno(), False)
        at_end = False
        while (left_s := deadline - time.monotonic()) > 0:
            if at_end:
                try:
                    return process.wait(timeout=left_s)
                except subprocess.TimeoutExpired:
                    return None
            if (
                process.poll() is not None
            ):  # a background child may hold the pipe open for ever: take what is there
                output.add(pipe.read(MAX_OUTPUT_BYTES) or b"")
                return process.returncode
            if select.select([pipe], [], [], min(left_s, POLL_S))[0]:
                chunk = pipe.read(65536)
                output.add(chunk or b"")
                at_end = chunk == b""
        return None
