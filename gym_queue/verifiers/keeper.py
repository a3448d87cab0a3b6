"""Parent of a verifier's process: starts it confined, and ends whatever it started, however that detached itself.

It keeps its user's rights, so that a confined verifier cannot end it; it runs none of the author's code. Standard
library alone: run as a file, as importing the package takes longer than most verifiers.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
STOPS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class _Stopped(Exception):
    """Our parent wants the end; with SIGHUP, as it ends itself, or has ended."""


def main(plan: dict[str, Any]) -> NoReturn:
    """Run one verification, and exit as it did."""
    for number in STOPS:
        signal.signal(number, _stop)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _prctl(PR_SET_PDEATHSIG, signal.SIGHUP)
    pid = 0
    status: int = signal.SIGHUP
    try:
        if os.getppid() == plan["parent"]:
            pid = os.fork()
            if pid == 0:
                _become_verifier(plan)
            os.close(plan["fd"])
            status = _wait_for(pid)
    except _Stopped as stopped:
        status = stopped.args[0]
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    end_all(pid, plan["own_uid"])
    if status == signal.SIGHUP:  # nobody else is left to do it
        os.execvp("rm", ["rm", "-rf", plan["remove"]])  # noqa: S606  no shell is meant
    _exit_as(status)


def _become_verifier(plan: dict[str, Any]) -> NoReturn:
    try:
        for number in STOPS:
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        child = _load("child")
        _load("cage").enter(plan)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user would have cleared it
        os.chdir(plan["folder"])
        child.main(plan["fd"])
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001  nothing may return into the keeper's own code
        with suppress(OSError):
            os.write(2, f"the verifier cannot be confined: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def _wait_for(pid: int) -> int:
    while True:
        ended, status = os.waitpid(-1, 0)  # orphans of the verifier become ours as well
        if ended == pid:
            return status


def end_all(pid: int, own_uid: int | None) -> None:
    """Kill all the descendants of this process, until none is left.

    Args:
        pid: The verifier, the leader of its session.
        own_uid: The uid that nothing but this verifier runs under; None when others do.
    """
    with suppress(ProcessLookupError, PermissionError):
        if pid:
            os.killpg(pid, signal.SIGKILL)
    while True:
        if own_uid:
            _kill_user(own_uid)
        for child in _children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass  # its children become ours now
        except ChildProcessError:
            return
        time.sleep(0.001)


def _kill_user(uid: int) -> None:
    """Kill every process of a user at one blow, so that none can fork meanwhile."""
    helper = os.fork()
    if helper == 0:
        try:
            os.setresuid(uid, uid, uid)
            if os.getuid() == uid != 0:
                os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    with suppress(ChildProcessError):
        os.waitpid(helper, 0)


def _children() -> list[int]:
    own = os.getpid()
    try:
        return [int(pid) for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split()]
    except OSError:  # a kernel without that file
        return [int(each.name) for each in Path("/proc").glob("[0-9]*") if _parent(each) == own]


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return 0


def _exit_as(status: int) -> NoReturn:
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) not in (signal.SIGTERM, signal.SIGHUP):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _Stopped(number)


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"gym_queue_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None  # noqa: S101  a file of this folder
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
