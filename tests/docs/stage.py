"""Where a page's blocks are run, one after the other, as a reader would in one terminal and one Python session."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.docs.pages import SHELL, Block
from tests.waiting import wait_until

ASKS_THE_DEFAULT_MASTER = re.compile(r"\bgym-anything (status|top|drain|undrain|logs)\b")
BLOCK_S = 100.0
READY_S = 60.0
STATE = ".terminal"
"""File that carries variables and the folder from one block of commands to the next."""


class Stage:
    """A page's folder, shell and namespace.

    Args:
        folder: Everything happens in here.
        url: The master that stands where the page says ``http://localhost:5800``.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self._running: list[subprocess.Popen[bytes]] = []

    def play(self, block: Block) -> None:
        """Do what a block says; fail when it does not come out as the page says."""
        if "file" in block.directives:
            path = self.folder / block.directives["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            code = compile(self._here(block.text), str(block), "exec")
            exec(code, self.namespace)
        elif block.language in SHELL:
            self._play_commands(block)

    def stop(self) -> None:
        """End what still runs."""
        for program in self._running:
            end(program)

    def _play_commands(self, block: Block) -> None:
        state = self.folder / STATE
        carried = f'trap \'export -p >{state}; printf "cd %q\\n" "$PWD" >>{state}\' EXIT'
        script = f"[ ! -f {state} ] || . {state}\nset -euo pipefail\n{carried}\n{self._here(block.text)}"
        log = self.folder / f".block-{block.line}.log"
        with log.open("wb") as file:
            program = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.folder,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if "runs on" in block.directives:
            self._running.append(program)
            said = block.directives["runs on"]
            wait_until(lambda: said in log.read_text() or program.poll() is not None, READY_S)
            assert program.poll() is None, f"{block} ended: {log.read_text()[-4000:]}"
            return
        try:
            status = program.wait(BLOCK_S)
        finally:
            end(program)
        wanted = int(block.directives.get("exit", "0"))
        if status != wanted:
            said = log.read_text()[-4000:]
            pytest.fail(f"{block} ended with {status}, not {wanted}:\n{block.text}\n{said}")

    def _here(self, text: str) -> str:
        port = self.url.rpartition(":")[2]
        text = text.replace("localhost:5800", self.url.partition("://")[2])
        text = text.replace("gym-anything up", f"gym-anything up --port {port}")
        return ASKS_THE_DEFAULT_MASTER.sub(rf"GYM_ANYTHING_REMOTE_URL={self.url} gym-anything \1", text)

    def _variables(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        site = str(self.folder / ".site")
        installs = {
            "PIP_TARGET": site,
            "PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
        }
        return {**os.environ, **installs, "PATH": path, "HOME": str(self.folder)}


def end(program: subprocess.Popen[bytes]) -> None:
    """End a block's commands with all that they started in their terminal, and wait for that."""
    with suppress(ProcessLookupError):  # nothing is left
        os.killpg(program.pid, signal.SIGTERM)
    program.wait(READY_S)
    wait_until(lambda: not any(is_of(program.pid, each) for each in psutil.process_iter()), READY_S)


def is_of(group: int, process: psutil.Process) -> bool:
    """Return whether a process belongs to a group, and runs."""
    with suppress(psutil.Error, ProcessLookupError):
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    return False
