"""Ends machines whose environment's process has gone, and never anybody else's."""

from __future__ import annotations

import json
import logging

import psutil

from gym_queue.runners.owner import Place, is_orphan, start_of
from gym_queue.runners.processes import ENV_MARK
from gym_queue.runners.qemu.vm import OWNER_MARK

logger = logging.getLogger(__name__)

KILL_TIMEOUT_S = 5.0


def remove_orphans() -> int:
    """End the QEMU processes of this machine that nobody owns any more; returns how many."""
    here = Place.here()
    found = [each for each in psutil.process_iter(["name"]) if _is_left(each, here)]
    for process in found:
        try:
            env = process.environ().get(ENV_MARK)
            process.kill()
        except psutil.Error:
            continue  # it ended by itself
        logger.info("ended the virtual machine of %s, which a dead process left", env)
    psutil.wait_procs(found, timeout=KILL_TIMEOUT_S)
    return len(found)


def _is_left(process: psutil.Process, here: Place) -> bool:
    try:
        if not str(process.info["name"] or "").startswith("qemu-system"):
            return False
        labels = json.loads(process.environ().get(OWNER_MARK, "{}"))
    except (psutil.Error, ValueError):
        return False  # gone, another user's, or not ours
    return isinstance(labels, dict) and is_orphan(labels, here, start_of)
