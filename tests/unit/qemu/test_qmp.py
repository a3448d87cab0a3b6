"""QEMU's monitor: a real QEMU without a machine, and what is none."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gym_queue.errors import RunnerFailed
from gym_queue.runners.qemu.qmp import Qmp, QmpRefused


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a QEMU that has a monitor and no machine."""
    process = subprocess.Popen(
        ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none", "-qmp", "unix:q.sock,server=on,wait=off"],
        cwd=tmp_path,
    )  # fmt: skip
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def qmp(qemu: subprocess.Popen[bytes], tmp_path: Path) -> Iterator[Qmp]:
    monitor = Qmp.wait_for(tmp_path / "q.sock", deadline_s=30, check_alive=lambda: None)
    yield monitor
    monitor.close()


class Peer:
    """Something that is asked in the place of a monitor: sends what it is told, and nothing else."""

    def __init__(self, path: Path, said: bytes, *, hangs_up: bool = False) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._said, self._hangs_up = said, hangs_up
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        self._connections.append(connection)
        connection.sendall(self._said)
        if self._hangs_up:
            connection.close()

    def close(self) -> None:
        for each in (self._server, *self._connections):
            each.close()


@pytest.mark.needs("qemu-system-x86_64")
class TestWithQemu:
    def test_it_answers(self, qmp: Qmp) -> None:
        assert qmp.ask("query-version")["qemu"]["major"] >= 7

    def test_a_refusal_says_what_qemu_said(self, qmp: Qmp) -> None:
        with pytest.raises(QmpRefused, match="has not been found"):
            qmp.ask("no-such-command")
        assert qmp.ask("query-status")["status"] == "running"

    def test_events_are_kept_until_they_are_asked_for(self, qmp: Qmp) -> None:
        assert qmp.event("STOP") is None
        qmp.ask("stop")
        assert qmp.event("STOP") == {}
        qmp.forget("STOP")
        assert qmp.event("STOP") is None

    def test_a_descriptor_goes_with_a_command(self, qmp: Qmp, tmp_path: Path) -> None:
        with (tmp_path / "file").open("wb") as file:
            added = qmp.ask("add-fd", fds=[file.fileno()], fdset_id=7)
        assert added["fdset-id"] == 7

    def test_calls_of_two_threads_each_get_their_own_answer(self, qmp: Qmp) -> None:
        wrong: list[object] = []

        def ask(command: str, key: str) -> None:
            for _ in range(50):
                answer = qmp.ask(command)
                if key not in answer:
                    wrong.append(answer)

        threads = [
            threading.Thread(target=ask, args=each)
            for each in (("query-version", "qemu"), ("query-status", "status"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_a_killed_qemu_is_explained_by_whoever_knows_why(
        self, qemu: subprocess.Popen[bytes], tmp_path: Path
    ) -> None:
        monitor = Qmp.wait_for(
            tmp_path / "q.sock",
            deadline_s=30,
            check_alive=lambda: None,
            explain_end=lambda: RunnerFailed("it was killed"),
        )
        qemu.kill()
        qemu.wait()
        with pytest.raises(RunnerFailed, match="it was killed"):
            monitor.ask("query-status")
        monitor.close()

    def test_closing_wakes_nobody_twice_and_later_calls_fail(self, qmp: Qmp) -> None:
        qmp.close()
        qmp.close()
        with pytest.raises(RunnerFailed, match="was closed"):
            qmp.ask("query-status")


def test_nobody_there_is_said_after_the_deadline(tmp_path: Path) -> None:
    with pytest.raises(RunnerFailed, match="does not answer"):
        Qmp.wait_for(tmp_path / "none.sock", deadline_s=0.05, check_alive=lambda: None)


def test_waiting_ends_when_the_process_has(tmp_path: Path) -> None:
    def ended() -> None:
        raise RunnerFailed("QEMU ended with status 1")

    with pytest.raises(RunnerFailed, match="status 1"):
        Qmp.wait_for(tmp_path / "none.sock", deadline_s=30, check_alive=ended)


@pytest.mark.parametrize("said", [b"SSH-2.0-x\r\n", b"[1]\n", b'{"hello": 1}\n', b"\xff\n"])
def test_what_is_no_monitor_is_refused(tmp_path: Path, said: bytes) -> None:
    peer = Peer(tmp_path / "q.sock", said)
    with pytest.raises(RunnerFailed, match="monitor"):
        Qmp(tmp_path / "q.sock")
    peer.close()


def test_a_monitor_that_hangs_up_is_lost(tmp_path: Path) -> None:
    peer = Peer(tmp_path / "q.sock", b"", hangs_up=True)
    with pytest.raises(RunnerFailed, match="lost"):
        Qmp(tmp_path / "q.sock")
    peer.close()
