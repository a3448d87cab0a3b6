"""Writing a run's ``report.json`` and ``report.html``."""

from __future__ import annotations

from pathlib import Path

from gym_queue.benchmark.output import write_whole
from gym_queue.benchmark.recorder import writing
from gym_queue.benchmark.report.build import Report, build_report
from gym_queue.benchmark.report.page import render

JSON, PAGE = "report.json", "report.html"


def write_report(path: Path) -> Report:
    """Make a run's report anew, from what its folder holds.

    Returns:
        The report.

    Raises:
        PathNotFound: No run is there.
        RequestInvalid: A file of it cannot be read.
        OutputFailed: The report cannot be written.
    """
    report = build_report(path)
    page = render(report, path)
    with writing(path):
        write_whole(path / JSON, report.model_dump_json(indent=2) + "\n")
        write_whole(path / PAGE, page)
    return report
