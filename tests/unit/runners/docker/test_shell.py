from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gym_queue.runners.docker.exec import KILLER
from gym_queue.runners.docker.frames import ExecStream
from gym_queue.runners.docker.shell import EXEC_MARK, WAITING_SHELL, Running, Shell

CLEAN = {"HOME": "/", "PATH": "/usr/local/bin:/usr/bin:/bin"}  # no profile of whoever runs the tests


class FramedShell:
    """A waiting shell of this machine, behind a connection that frames its output as the daemon does."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        self.shell = Shell(ExecStream(ours))
        self.process = subprocess.Popen(
            ["bash", "-c", WAITING_SHELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=CLEAN
        )
        self._threads = [threading.Thread(target=each) for each in (self._feed, self._frame)]
        for thread in self._threads:
            thread.start()

    def _feed(self) -> None:
        assert self.process.stdin is not None
        with self.process.stdin, suppress(OSError):
            while chunk := self._theirs.recv(4096):
                self.process.stdin.write(chunk)

    def _frame(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout, suppress(OSError):
            while chunk := self.process.stdout.read(50):  # small: marks are cut in two
                self._theirs.sendall(struct.pack(">BxxxI", 1, len(chunk)) + chunk)
        self._theirs.shutdown(socket.SHUT_RDWR)

    def run(self, command: str) -> Running:
        while not self.shell.is_free():
            continue  # each look waits a moment
        running = self.shell.give(command)
        while running.status is None:
            running.read(10)
        return running

    def stop(self) -> None:
        self.shell.close()
        for thread in self._threads:
            thread.join()
        self._theirs.close()
        self.process.wait()


@pytest.fixture
def framed() -> Iterator[FramedShell]:
    made = FramedShell()
    yield made
    made.stop()


def test_commands_follow_one_another_each_with_its_own_output_and_status(framed: FramedShell):
    first, second = framed.run("echo one; exit 3"), framed.run("printf two")
    assert (first.status, first.output.text()) == (3, "one\n")
    assert (second.status, second.output.text()) == (0, "two")
    assert framed.shell.is_free()


def test_a_command_that_prints_no_newline_and_much_is_whole(framed: FramedShell):
    assert framed.run("printf '%03000d' 7").output.text() == "7".zfill(3000)


def test_a_signal_is_counted_as_shells_do(framed: FramedShell):
    assert framed.run("kill -9 $$").status == 137


def test_a_shell_whose_output_a_child_holds_is_not_free(framed: FramedShell):
    running = framed.run("sleep 1000 & echo $!")
    assert not framed.shell.is_free()
    subprocess.run(["kill", running.output.text().strip()], check=True)
    while not running.is_over:
        running.read(10)
    assert framed.shell.is_free()


def test_a_shell_that_is_gone_is_an_end_of_file(framed: FramedShell):
    framed.process.kill()
    framed.process.wait()
    with pytest.raises(EOFError):
        framed.run("true")


def test_the_killer_ends_a_command_its_session_and_what_left_it(framed: FramedShell):
    running = framed.shell.give("setsid sleep 1000 & env -i sleep 1000 & sleep 1000")
    while running.leader is None:
        running.read(10)
    script = f"set -- {running.id} {running.leader}\n{KILLER}"
    subprocess.run(["bash", "-c", script], check=True)
    while running.status is None:
        running.read(10)
    assert running.status == 137
    assert framed.run(f"grep -ls {EXEC_MARK}={running.id} /proc/[0-9]*/environ").output.text() == ""


def test_a_mark_cut_in_two_is_found():
    ours, theirs = socket.socketpair()
    running = Running(ExecStream(ours))
    for chunk in (b"out", running.mark[:7].encode(), running.mark[7:].encode() + b" sta", b"tus 5\n"):
        theirs.sendall(struct.pack(">BxxxI", 1, len(chunk)) + chunk)
        running.read(1)
    assert (running.status, running.output.text()) == (5, "out")
    ours.close()
    theirs.close()
