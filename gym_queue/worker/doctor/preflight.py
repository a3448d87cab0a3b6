"""Which runners a worker advertises, decided before it says anything to a master."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gym_queue.errors import StartupFailed
from gym_queue.names import QEMU_FAMILY, RUNNERS
from gym_queue.runners.base import VmOptions
from gym_queue.worker.doctor.diagnose import diagnose, judge_unprobed
from gym_queue.worker.doctor.report import RunnerReport

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Usable:
    """What a worker advertises."""

    runners: tuple[str, ...]
    """In the order offered."""
    details: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Runner → what the doctor saw of it: versions, acceleration, images."""

    @property
    def acceleration(self) -> str | None:
        """What virtual machines run by; None when nobody looked."""
        found = (self.details.get(name, {}).get("acceleration") for name in sorted(QEMU_FAMILY))
        return next(filter(None, found), None)


def preflight(
    *,
    implemented: Collection[str],
    must_support: Sequence[str],
    offer: Sequence[str] = (),
    skip: bool,
    vm: VmOptions | None = None,
) -> Usable:
    """Return the runners to advertise, and what was seen of them.

    Args:
        implemented: The runners this version has.
        must_support: Runners without which the worker must not start.
        offer: Runners to advertise if ready; empty offers all but fake, and those of ``must_support``.
        skip: Take every implemented runner for ready, without probing the host.
        vm: How virtual machines are to run.

    Raises:
        StartupFailed: A name is unknown, a must-support runner is missing, or none is usable.
    """
    offered = tuple(dict.fromkeys(offer or (*_real(implemented), *must_support)))
    named = tuple(dict.fromkeys((*offered, *must_support)))
    _refuse_unknown(named)
    if skip:
        logger.warning("preflight is skipped: %s are advertised unprobed", ", ".join(offered))
        reports = {name: judge_unprobed(name, implemented) for name in named}
    else:
        reports = {report.name: report for report in diagnose(named, implemented=implemented, vm=vm).runners}
    _refuse_missing(must_support, offered, reports)
    usable = tuple(name for name in offered if reports[name].ready)
    unusable = [reports[name] for name in offered if not reports[name].ready]
    if not usable:
        why = _sentence(unusable) or "this version has none"
        raise StartupFailed(f"no runner is usable on this host: {why}")
    for report in unusable:
        logger.warning("not advertised: %s", _sentence([report]))
    for name in usable:
        if name in QEMU_FAMILY:
            logger.info("%s: %s", name, reports[name].reason)
    return Usable(usable, {name: dict(reports[name].details) for name in usable if reports[name].details})


def _real(implemented: Collection[str]) -> list[str]:
    return [name for name in RUNNERS if name in implemented and name != "fake"]


def _refuse_unknown(named: Iterable[str]) -> None:
    strangers = [name for name in named if name not in RUNNERS]
    if strangers:
        known = ", ".join(RUNNERS)
        raise StartupFailed(f"there is no runner called {', '.join(strangers)}: name some of {known}")


def _refuse_missing(
    must_support: Sequence[str], offered: Collection[str], reports: Mapping[str, RunnerReport]
) -> None:
    missing = [reports[name] for name in must_support if not reports[name].ready]
    withheld = [name for name in must_support if name not in offered and reports[name].ready]
    reasons = [_sentence([report]) for report in missing]
    reasons += [f"{name}: not among the runners offered ({', '.join(offered)})" for name in withheld]
    if reasons:
        raise StartupFailed(f"this host lacks runners it must support: {'; '.join(reasons)}")


def _sentence(reports: Iterable[RunnerReport]) -> str:
    return "; ".join(
        f"{report.name}: {report.reason}" + (f" (remedy: {report.remedy})" if report.remedy else "")
        for report in reports
    )
