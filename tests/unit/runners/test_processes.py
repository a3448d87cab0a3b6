from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gym_queue.runners.processes import ENV_MARK, find_processes, sweep


def test_a_sweep_ends_marked_processes_and_their_unmarked_children_but_not_other_envs() -> None:
    swept, spared = f"swept-{os.getpid()}", f"spared-{os.getpid()}"  # another run may be under way
    script = "trap '' HUP; env -i sleep 97532 & echo; wait"
    started = [
        subprocess.Popen(["sh", "-c", script], env=os.environ | {ENV_MARK: mark}, stdout=subprocess.PIPE)
        for mark in (swept, spared)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    assert sweep(swept, timeout_s=10) == 2
    assert find_processes(swept) == []
    assert len(find_processes(spared)) == 2
    assert sweep(spared, timeout_s=10) == 2
    for process in started:
        process.communicate()


def test_a_sweep_ends_what_lost_its_parent_and_its_mark_but_not_its_session() -> None:
    mark = f"session-{os.getpid()}"
    script = "trap '' HUP; (env -i sleep 97534 & echo); sleep 97535 & wait"
    leader = subprocess.Popen(
        ["sh", "-c", script],
        env=os.environ | {ENV_MARK: mark},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert leader.stdout is not None
    leader.stdout.readline()
    assert sweep(mark, timeout_s=10) == 3
    leader.communicate()  # ends when nobody holds its output


def test_a_sweep_ends_what_a_dead_shell_left_in_its_session() -> None:
    script = "trap '' HUP; env -i sleep 97536 & echo; exit"
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert shell.stdout is not None
    shell.stdout.readline()
    os.waitid(os.P_PID, shell.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped: its pid is nobody else's
    assert sweep(f"nobody-{os.getpid()}", timeout_s=10, roots=[shell.pid]) == 1
    shell.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_a_subreaper_finds_daemons_that_dropped_their_mark() -> None:
    code = (
        "import os, subprocess\n"
        "from gym_queue.runners.processes import become_subreaper, sweep\n"
        "assert become_subreaper()\n"
        "subprocess.run(['env', '-i', 'setsid', '-f', 'sleep', '97533'])\n"
        "print(sweep('nobody', timeout_s=10, roots=[os.getpid()]))\n"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output == "1\n"
