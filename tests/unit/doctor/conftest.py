"""Programs and places a probe may meet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gym_queue.worker.doctor.host import Platform

MakeProgram = Callable[[str, str], Path]


@pytest.fixture
def linux() -> Platform:
    return Platform("Linux", "x86_64", frozenset({"debian"}))


@pytest.fixture
def make_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeProgram:
    """Write a shell script into the only folder on PATH besides the system's shell tools."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name: str, body: str) -> Path:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        return program

    return make
