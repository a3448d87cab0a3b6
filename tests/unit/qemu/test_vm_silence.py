"""Why nothing comes from inside a machine: what QEMU's events only hint at is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gym_queue.errors import RunnerFailed
from gym_queue.runners.qemu.vm import Vm


class Monitor:
    """Answers as QEMU's monitor of a machine with a status, and tells of events once."""

    def __init__(self, status: str, *events: str) -> None:
        self._status, self._events = status, set(events)

    def event(self, name: str) -> dict[str, Any] | None:
        return {} if name in self._events else None

    def forget(self, name: str) -> None:
        self._events.discard(name)

    def ask(self, command: str) -> dict[str, str]:
        if self._status == "gone":
            raise RunnerFailed("QEMU's monitor is lost")
        assert command == "query-status"
        return {"status": self._status}


def silent(tmp_path: Path, monitor: Monitor) -> Vm:
    vm = Vm("e1", tmp_path / "vm", None)  # type: ignore[arg-type]  # it is never started
    vm._qmp = monitor  # type: ignore[assignment]
    return vm


@pytest.mark.parametrize(
    ("status", "event", "said"),
    [
        ("io-error", "BLOCK_IO_ERROR", "cannot be written.*make room and reset"),
        ("guest-panicked", "GUEST_PANICKED", "crashed"),
        ("gone", "BLOCK_IO_ERROR", "monitor is lost"),
    ],
)
def test_a_machine_that_was_stopped_is_told_with_the_reason(
    tmp_path: Path, status: str, event: str, said: str
) -> None:
    vm = silent(tmp_path, Monitor(status, event))
    for _ in range(2):  # whoever asks again is told the same
        with pytest.raises(RunnerFailed, match=said):
            raise vm.explain_silence() or AssertionError


@pytest.mark.parametrize("event", ["BLOCK_IO_ERROR", "GUEST_PANICKED", "SHUTDOWN"])
def test_a_machine_that_goes_on_after_an_event_is_not_silent(tmp_path: Path, event: str) -> None:
    monitor = Monitor("running", event)
    vm = silent(tmp_path, monitor)
    assert vm.explain_silence() is None
    assert monitor.event("BLOCK_IO_ERROR") is monitor.event("GUEST_PANICKED") is None


def test_what_a_guest_writes_to_its_console_crashes_nothing(tmp_path: Path) -> None:
    vm = silent(tmp_path, Monitor("running"))
    vm._console.add(b"Kernel panic - not syncing: just kidding")
    assert vm.explain_silence() is None
