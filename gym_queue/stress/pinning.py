"""Programs pinned to a processor, so that two proxies are compared under the same terms."""

from __future__ import annotations

import os
from contextlib import suppress

import psutil

from gym_queue.errors import NotSupported, RequestInvalid


def pin(pid: int, cpu: int) -> None:
    """Keep a program, all its threads and all it started so far, on one processor.

    Args:
        pid: The program.
        cpu: Number of the processor, from 0.

    Raises:
        RequestInvalid: This machine has no such processor.
        NotSupported: This system cannot pin.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise NotSupported("this system cannot pin programs to a processor: leave --pin out")
    program = psutil.Process(pid)
    for process in (program, *program.children(recursive=True)):
        for thread in process.threads():
            with suppress(ProcessLookupError):
                _pin_thread(thread.id, cpu)


def _pin_thread(thread_id: int, cpu: int) -> None:
    try:
        os.sched_setaffinity(thread_id, {cpu})
    except OSError as error:
        if isinstance(error, ProcessLookupError):
            raise
        raise RequestInvalid(f"processor {cpu} cannot be used: {error.strerror}") from error
