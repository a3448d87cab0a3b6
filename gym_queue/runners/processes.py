"""Finding and ending every process of an environment, however it detached itself."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress

import psutil

logger = logging.getLogger(__name__)

ENV_MARK = "GYM_ENV_ID"
"""The variable that every process of an environment inherits; its value is the env's id."""
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
PR_GET_CHILD_SUBREAPER = 37
HANGUP_WAIT_S = 0.2


def become_subreaper() -> bool:
    """Make this process the parent of its descendants' orphans, so that none gets away to init.

    Returns:
        Whether it is one now; False where the system has no such thing (it is Linux's).
    """
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def is_subreaper() -> bool:
    """Whether orphans of this process's descendants become its children."""
    if sys.platform != "linux":
        return False
    answer = ctypes.c_int(0)
    asked = ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return asked == 0 and answer.value == 1


def has_children() -> bool:
    """Whether this process has children, zombies included; True where the system cannot say it at once."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def find_processes(
    env_id: str, *, roots: Collection[int] = (), sessions: Collection[int] = ()
) -> list[psutil.Process]:
    """Return the live processes that carry the env's mark, and the descendants of those and of ``roots``.

    A subreaper, as every environment's own process is one, looks only below itself: they cannot be elsewhere.
    Others look at the environment of every process there is, which takes ten times as long.

    Args:
        env_id: The value of GYM_ENV_ID to look for.
        roots: Pids that belong to the env as well, with all their descendants.
        sessions: Sessions that belong to the env, by the pid that leads or led them.
    """
    children: defaultdict[int, list[psutil.Process]] = defaultdict(list)
    todo: list[psutil.Process] = []
    for process in _below() if is_subreaper() else psutil.process_iter():
        try:
            children[process.ppid()].append(process)
            if (
                process.pid in roots
                or process.environ().get(ENV_MARK) == env_id
                or (sessions and os.getsid(process.pid) in sessions)
            ):
                todo.append(process)
        except (psutil.Error, ProcessLookupError):
            continue  # gone, a zombie, or another user's
    found: dict[int, psutil.Process] = {}
    while todo:
        process = todo.pop()
        if process.pid not in found:
            found[process.pid] = process
            todo.extend(children[process.pid])
    found.pop(os.getpid(), None)
    return [process for process in found.values() if _is_live(process)]


def _below() -> list[psutil.Process]:
    own = psutil.Process()
    if not has_children():  # psutil would read the state of every process of the machine to find that out
        return [own]
    return [own, *own.children(recursive=True)]


def sweep(env_id: str, *, timeout_s: float, roots: Collection[int] = ()) -> int:
    """End every process of an environment: SIGHUP, a moment later SIGKILL, until none is left.

    Args:
        env_id: The value of GYM_ENV_ID that its processes carry.
        timeout_s: How long to go on; processes stuck in the kernel may be left, with a warning logged.
        roots: Pids that belong to the env as well; this process is spared, its descendants are not.

    Returns:
        How many processes were ended.
    """
    deadline = time.monotonic() + timeout_s
    # A child that is being born as its shell dies has neither mark nor parent afterwards: its session is left.
    sessions = _sessions_led_by(pid for pid in roots if pid != os.getpid())
    found = find_processes(env_id, roots=roots, sessions=sessions)
    seen = {process.pid for process in found}
    sessions |= _sessions_led_by(seen)
    _send(found, signal.SIGHUP)
    psutil.wait_procs(found, timeout=min(HANGUP_WAIT_S, timeout_s))
    while found := find_processes(env_id, roots=roots, sessions=sessions):
        seen.update(process.pid for process in found)
        _send(found, signal.SIGKILL)
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            logger.warning("processes of env %s do not end: %s", env_id, [process.pid for process in found])
            break
        psutil.wait_procs(found, timeout=min(0.5, left_s))
    return len(seen)


def _sessions_led_by(pids: Iterable[int]) -> set[int]:
    led = set()
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == pid:
                led.add(pid)
    return led


def kill_session(leader_pid: int) -> None:
    """Kill every process of the session that ``leader_pid`` leads or led, and all their descendants."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader_pid:
                members.append(process)
                members.extend(process.children(recursive=True))
        except (OSError, psutil.Error):
            continue
    _send(members, signal.SIGKILL)


def _is_live(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue  # it ended by itself
