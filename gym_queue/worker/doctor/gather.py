"""Runs probes at once, in threads, and waits no longer than the deadline for any."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait

from gym_queue.worker.doctor.report import Finding

logger = logging.getLogger(__name__)


def gather(probes: Mapping[str, Callable[[], Finding]], *, deadline_s: float) -> dict[str, Finding]:
    """Run every probe, and return what each found.

    Args:
        probes: Name → probe.
        deadline_s: Seconds after which a probe's answer is not waited for.

    Returns:
        Name → finding, in the order of ``probes``; what raised or came too late says so.
    """
    futures = {name: _start(name, probe) for name, probe in probes.items()}
    wait(futures.values(), timeout=deadline_s)
    return {
        name: future.result() if future.done() else _too_late(name, deadline_s)
        for name, future in futures.items()
    }


def _start(name: str, probe: Callable[[], Finding]) -> Future[Finding]:
    future: Future[Finding] = Future()

    def work() -> None:
        try:
            future.set_result(probe())
        except Exception as error:
            logger.exception("the probe %s failed", name)
            remedy = "see the traceback in the log"
            reason = f"the probe {name} failed: {error!r}"
            future.set_result(Finding(ok=False, reason=reason, remedy=remedy))

    # A daemon, unlike an executor's threads: a probe the system never lets go of must not hold up the exit.
    threading.Thread(target=work, name=f"doctor-{name}", daemon=True).start()
    return future


def _too_late(name: str, deadline_s: float) -> Finding:
    reason = f"the probe {name} did not end in {deadline_s:g} s"
    return Finding(ok=False, reason=reason, remedy="find out what blocks on this host, then ask again")
