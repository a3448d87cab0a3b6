"""How large the report of 500 attempts is, and how fast Chromium opens it from a disk."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from bench.effort import Effort
from bench.goals import Bound, Goal, Outcome, Row
from bench.runs import Runs
from gym_queue.errors import StartupFailed

STEPS = (10, 13, 17, 20, 23, 27, 30, 33, 37, 40)
REPEATS = 50
ROW = "table.attempts tbody tr"


def rows() -> list[Row[Runs]]:
    """Return the rows measured here."""
    what = "report.html of 500 attempts of 10 to 40 steps"
    return [
        Row(
            [
                Goal("report-size", f"{what}: size without its frames", "MB", Bound.AT_MOST, 20),
                Goal(
                    "report-opens",
                    f"{what}: until its rows are seen in Chromium",
                    "s",
                    Bound.AT_MOST,
                    2,
                    binding=False,
                ),
            ],
            _report,
        )
    ]


def _report(ready: Runs, effort: Effort) -> list[Outcome]:
    effort.tell("500 attempts for a report")
    env = ready.null_env("report-env", STEPS)
    process = ready.start(env, "report", "--repeat", str(REPEATS), "--parallel", "8")
    ready.finish(process, "report")
    page = ready.folder / "report" / "report.html"
    return [Outcome([page.stat().st_size / 1e6]), Outcome(_opened_s(page, effort))]


def _opened_s(path: Path, effort: Effort) -> list[float]:
    """Return the seconds that a new Chromium takes to show the rows, by round."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise StartupFailed("chromium is not on PATH: install it, or leave out --only report-opens")
    found = []
    with sync_playwright() as playwright:
        for number in range(effort.rounds):
            effort.tell(f"opening the report, round {number + 1} of {effort.rounds}")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page()
            start = time.perf_counter()
            page.goto(path.as_uri())
            page.locator(ROW).first.wait_for()
            found.append(time.perf_counter() - start)
            browser.close()
    return found
