"""The programs in a shell: completion by a real bash, and readers that have seen enough."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.acceptance.conftest import Place

COMPLETE = """
source <(gym-anything completion bash)
asked() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    local function=$(complete -p "$1" | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
    $function "$1" && echo "${COMPREPLY[*]}"
}
"""


@pytest.fixture
def programs(place: Place) -> dict[str, str]:
    """Return the variables of a shell that has the programs on its PATH."""
    folder = place.folder / "bin"
    folder.mkdir()
    for name in ("gym-anything", "gym-anything-master", "gym-anything-worker", "gym-anything-dashboard"):
        module = place.command(name)[2]
        code = f"import sys; sys.argv[0] = '{name}'; from {module} import main; main()"
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
        (folder / name).chmod(0o755)
    return {**os.environ, **place.variables, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_tab_completes_commands_options_environments_and_tasks(programs: dict[str, str]) -> None:
    lines = (
        "asked gym-anything compat",
        "asked gym-anything run term",
        "asked gym-anything run terminal_env --task large",
        "asked gym-anything-master --worker-t",
        "asked gym-anything-worker --must",
        "asked gym-anything-dashboard --read",
    )
    ran = subprocess.run(
        ["bash", "-c", COMPLETE + "\n".join(lines)], env=programs, capture_output=True, text=True, timeout=100
    )
    assert ran.stderr == ""
    assert ran.stdout.split() == [
        *("compatibility", "terminal_env", "largest_file"),
        *("--worker-token", "--must-support-runner", "--read-only"),
    ]


def test_completion_is_installed_for_this_user(place: Place) -> None:
    ran = place.run("gym-anything", "completion", "--install", SHELL="/bin/bash")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count(str(place.folder / "home")) == 4
    assert (place.folder / "home/.bashrc").exists()


def test_a_shell_that_cannot_complete_is_refused(place: Place) -> None:
    for words, shell in (
        (("completion", "tcsh"), "/bin/bash"),
        (("completion",), "/bin/dash"),
        (("completion",), ""),
    ):
        ran = place.run("gym-anything", *words, SHELL=shell)
        assert ran.returncode == 2
        assert "bash, zsh, fish" in ran.stderr


@pytest.mark.parametrize("words", ["list terminal_env --json", "benchmark --help", "compatibility"])
def test_a_reader_that_has_seen_enough_is_left_in_silence(programs: dict[str, str], words: str) -> None:
    ran = subprocess.run(
        ["bash", "-c", f"gym-anything {words} | true"],
        env=programs,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.stdout, ran.stderr) == ("", "")
