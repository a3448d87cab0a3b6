"""What vm_env's verifiers make of what a machine says; tests/vm plays its tasks."""

from __future__ import annotations

import os
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gym_queue.specs.loader import resolve_env_dir

ENV_DIR = resolve_env_dir("vm_env")
Names = dict[str, Any]
Load = Callable[[str], Names]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.syspath_prepend(str(ENV_DIR))
    return lambda path: runpy.run_path(str(ENV_DIR / path))


@pytest.fixture
def machine(tmp_path: Path) -> Names:
    """This machine, whose sudo runs what it is given as whoever asks."""
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\nshift\nexec "$@"\n')
    sudo.chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(command: str) -> str:
        told = subprocess.run(
            ["bash", "-c", command],
            env=variables,
            stdout=-1,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return told.stdout

    return {"exec_capture": run}


@pytest.fixture
def cron(load: Load) -> Names:
    return load("tasks/cron_user/verifier.py")


def test_every_answer_has_its_name_and_what_fails_says_nothing(load: Load, machine: Names) -> None:
    said = load("vm_checks.py")["inspect"](
        machine, quoted="printf '%s\\n' \"it's\" two", missing="cat /no/such/file; x=5", later="printf $x"
    )
    assert said == {"quoted": "it's\ntwo", "missing": "", "later": "5"}


def test_without_root_there_are_no_answers(load: Load) -> None:
    told = "sudo: a password is required\n"
    assert load("vm_checks.py")["inspect"]({"exec_capture": lambda _: told}, one="id") == {"one": ""}


@pytest.mark.parametrize(("busy_looks", "looks"), [(0, "2"), (1, "3")])
def test_terminals_are_waited_for_while_something_runs_in_them(
    load: Load, machine: Names, tmp_path: Path, busy_looks: int, looks: str
) -> None:
    checks = load("vm_checks.py")
    ps = tmp_path / "ps"  # this machine's terminals are busy with other tests
    ps.write_text(f"""#!/bin/sh
echo >>{tmp_path}/asked
[ $(wc -l <{tmp_path}/asked) -gt {busy_looks} ] && foreground=10 || foreground=11
echo "10 10 $foreground pts/0 Ss bash"
""")
    ps.chmod(0o755)
    assert checks["inspect"](machine, settle=checks["LAST_COMMAND"] + "echo $look")["settle"] == looks


def test_files_are_told_from_others_by_their_content(load: Load, machine: Names) -> None:
    checks = load("vm_checks.py")
    sums = checks["inspect"](machine, sums=f"cd '{checks['FILES']}'; sha256sum recorder indexer")["sums"]
    assert checks["unchanged"](sums, "recorder", "indexer")
    assert not checks["unchanged"](sums, "recorder")
    assert not checks["unchanged"](sums.replace(sums[:4], "0000"), "recorder", "indexer")
    assert not checks["unchanged"]("", "recorder")


def test_a_cron_file_is_read_as_cron_reads_it(cron: Names) -> None:
    text = "# SHELL=/x\nSHELL = '/bin/sh'\n\n*/1 * * * * me  a b \n@reboot you c\n* * * * short\n"
    assert cron["jobs"](text) == [
        (["*/1", "*", "*", "*", "*"], "me", "a b", {"SHELL": "/bin/sh"}),
        (["@reboot"], "you", "c", {"SHELL": "/bin/sh"}),
    ]


def test_the_jobs_own_file_is_one_that_cron_passes_over_as_it_is_set_up(cron: Names) -> None:
    assert [job[:3] for job in cron["jobs"]((ENV_DIR / "scripts/files/report").read_text())] == [
        (["*"] * 5, "nobody", "/usr/local/bin/stock-report")
    ]
    assert cron["is_accepted"]("root regular file 644", "\\n")
    assert not cron["is_accepted"]("root regular file 664", "\\n")


@pytest.mark.parametrize(
    ("owner", "end"),
    [
        ("ga regular file 644", "\\n"),
        ("root regular file 646", "\\n"),
        ("root regular file 644", "t"),
        ("root symbolic link 777", "\\n"),
        ("", ""),
    ],
)
def test_a_file_that_cron_refuses_is_refused(cron: Names, owner: str, end: str) -> None:
    assert not cron["is_accepted"](owner, end)


@pytest.mark.parametrize(
    ("times", "holds"),
    [
        ("* * * * *", True),
        ("0-59/1 */1 * * *", True),
        ("*/5 * * * *", False),
        ("* * * * 1-5", False),
        ("@hourly", False),
    ],
)
def test_every_minute_is_every_minute_of_every_day(cron: Names, times: str, holds: bool) -> None:
    assert cron["is_every_minute"](times.split()) is holds


@pytest.mark.parametrize(
    ("modes", "holds"),
    [
        ("750\n640", True),
        ("700\n644", True),
        ("755\n640", True),
        ("755\n644", False),
        ("757\n640", False),
        ("777\n777", False),
        ("", False),
    ],
)
def test_notes_are_closed_by_their_folder_or_their_file(load: Load, modes: str, holds: bool) -> None:
    assert load("tasks/broken_service/verifier.py")["closed"](modes) is holds
