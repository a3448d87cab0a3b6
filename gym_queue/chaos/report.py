"""What a run found, as tables and as JSON."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from gym_queue.chaos.ledger import Ledger
from gym_queue.chaos.verdict import Findings


def save(findings: Findings, path: Path) -> None:
    """Write findings as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(findings.model_dump_json(indent=2) + "\n")


def show(findings: Findings, console: Console) -> None:
    """Print findings."""
    console.print(_checks(findings))
    console.print(_ledger(findings))
    for outcome in findings.outcomes:
        for note in outcome.notes:
            console.print(f"{outcome.scenario}: {note}", markup=False, highlight=False, soft_wrap=True)


def _checks(findings: Findings) -> Table:
    table = Table("scenario", "what", "measured", "target", "", title=f"chaos, seed {findings.seed}")
    for outcome in findings.outcomes:
        name = f"{outcome.scenario} ({outcome.seconds:.0f} s)"
        for check in outcome.checks:
            verdict = "[green]met[/]" if check.ok else "[bold red]MISSED[/]"
            table.add_row(name, check.what, str(check), check.target, verdict)
            name = ""
        table.add_section()
    return table


def _ledger(findings: Findings) -> Table:
    books = [(outcome.scenario, outcome.ledger) for outcome in findings.outcomes]
    if len(books) > 1:
        books.append(("all", findings.ledger))
    table = Table(title="ledger")
    table.add_column("", no_wrap=True)
    for name, _ in books:
        table.add_column(name)
    for field in Ledger.model_fields:
        table.add_row(field.replace("_", " "), *(_cell(getattr(ledger, field)) for _, ledger in books))
    return table


def _cell(value: int | dict[str, int]) -> str:
    if isinstance(value, int):
        return str(value)
    return "\n".join(f"{count} {code}" for code, count in sorted(value.items())) or "0"
