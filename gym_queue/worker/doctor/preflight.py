"""Which runners a worker advertises, decided before it says anything to a master."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence

from gym_queue.errors import StartupFailed
from gym_queue.names import RUNNERS
from gym_queue.worker.doctor.diagnose import diagnose, judge_unprobed
from gym_queue.worker.doctor.report import RunnerReport

logger = logging.getLogger(__name__)


def preflight(
    *, implemented: Collection[str], must_support: Sequence[str], offer: Sequence[str] = (), skip: bool
) -> tuple[str, ...]:
    """Return the runners to advertise, in the order offered.

    Args:
        implemented: The runners this version has.
        must_support: Runners without which the worker must not start.
        offer: Runners to advertise if ready; empty offers all but fake, and those of ``must_support``.
        skip: Take every implemented runner for ready, without probing the host.

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
        reports = {report.name: report for report in diagnose(named, implemented=implemented).runners}
    _refuse_missing(must_support, offered, reports)
    usable = tuple(name for name in offered if reports[name].ready)
    unusable = [reports[name] for name in offered if not reports[name].ready]
    if not usable:
        why = _sentence(unusable) or "this version has none"
        raise StartupFailed(f"no runner is usable on this host: {why}")
    for report in unusable:
        logger.warning("not advertised: %s", _sentence([report]))
    return usable


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
