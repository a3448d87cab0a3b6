"""``gym-anything doctor``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gym_queue.cli.common import FAILED
from gym_queue.cli.options import AllowEmulation, VmImageDir
from gym_queue.runners.base import VmOptions
from gym_queue.runners.registry import implemented_runners
from gym_queue.specs.corpus import Report, find_corpus, validate_corpus
from gym_queue.specs.problems import Kind
from gym_queue.worker.doctor import HostReport, diagnose, render


def doctor(
    runner: Annotated[str | None, typer.Option(help="Check just these, comma-separated.")] = None,
    verification_root: Annotated[
        Path | None,
        typer.Option(help="Check besides that what the verifiers below this folder import is here."),
    ] = None,
    allow_emulation: AllowEmulation = False,
    vm_image_dir: VmImageDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check what this machine can run, by trying; for what it lacks, say the command that mends it here.

    Exits with 0; with 1 when a runner that was asked for is not ready, none is, or verifiers lack modules; with 2 when the
    folder holds no environment.

    Example: gym-anything doctor --runner local

    Example: gym-anything doctor --runner qemu --allow-emulation

    Example: gym-anything doctor --verification-root ./benchmarks
    """
    asked = [name.strip() for name in runner.split(",") if name.strip()] if runner else None
    checked = None if verification_root is None else validate_corpus(find_corpus(verification_root))
    vm = VmOptions(allow_emulation=allow_emulation, image_dir=vm_image_dir)
    report = diagnose(asked, implemented=implemented_runners(), vm=vm)
    lacking = {} if checked is None else _lacking(checked)
    if as_json:
        found: dict[str, Any] = report.model_dump(mode="json")
        typer.echo(json.dumps(found | ({} if checked is None else {"verifier_imports": lacking}), indent=2))
    else:
        console = Console(highlight=False)
        console.print(render(report, whole=asked is not None))
        if checked is not None:
            console.print(_imports(lacking, checked.tasks))
    raise typer.Exit(FAILED if lacking or _wanting(report, all_of_them=bool(asked)) else 0)


def _wanting(report: HostReport, *, all_of_them: bool) -> bool:
    return any(not each.ready for each in report.runners) if all_of_them else not report.ready


def _lacking(report: Report) -> dict[str, int]:
    """Return what verifiers import and this machine lacks → how many of them do."""
    problems = [each for each in report.problems if each.kind is Kind.IMPORT]
    return dict(
        Counter(each.message.partition("imports ")[2].partition(",")[0] for each in problems).most_common()
    )


def _imports(lacking: dict[str, int], tasks: int) -> Text:
    text = Text(f"\nverifiers of {tasks} tasks: ")
    if not lacking:
        return text + Text("all that they import is here", "green")
    for module, count in lacking.items():
        text += Text(f"\n✗ {count} import {module}, which is not here", "red")
    return text + Text(
        "\n    → pip install the packages that these modules are of, on every worker: a module's name is not always its package's"
    )
