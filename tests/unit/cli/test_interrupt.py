from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, time, typer
from gym_queue.cli.common import run_typer

class Last:
    def __del__(self):
        if {in_finalizer}:
            os.kill(os.getpid(), signal.SIGTERM)

def main():
    last = Last()
    del last
    print("begun", flush=True)
    if not {in_finalizer}:
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

app = typer.Typer()
app.command()(main)
run_typer(app)
"""


@pytest.mark.parametrize("in_finalizer", [False, True])
def test_a_program_that_is_told_to_end_does_wherever_it_is(in_finalizer: bool) -> None:
    code = PROGRAM.format(in_finalizer=in_finalizer)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert ran.returncode == 128 + signal.SIGINT, ran.stderr
    assert "Exception ignored" not in ran.stderr
