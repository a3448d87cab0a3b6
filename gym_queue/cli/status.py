"""``gym-anything status``: the fleet at a glance."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gym_queue.client.calls import Call
from gym_queue.client.retry import BRIEF
from gym_queue.client.transport import Transport, check_url
from gym_queue.errors import RequestInvalid
from gym_queue.settings import DEFAULT_MASTER_PORT, find_token

TIMEOUT_S = 10.0
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def status(
    remote_url: Annotated[
        str, typer.Option(envvar="GYM_ANYTHING_REMOTE_URL", help="The master.")
    ] = f"http://localhost:{DEFAULT_MASTER_PORT}",
    as_json: JsonFlag = False,
) -> None:
    """Show a master's workers, environments, queue and Celery tasks.

    Example: gym-anything status --remote-url http://localhost:5800
    """
    with closing(Transport(check_url(remote_url), token=find_token())) as transport:
        if _ask(transport, "/health").get("role") != "master":
            raise RequestInvalid(f"{remote_url} is a worker: name its master with --remote-url")
        cluster, tasks, queue = (_ask(transport, path) for path in ("/workers/list", "/api/tasks", "/queue"))
    if as_json:
        typer.echo(json.dumps({"cluster": cluster, "tasks": tasks, "queue": queue}, indent=2))
        return
    console = Console()
    console.print(_workers(cluster, tasks))
    counts = tasks["counts"]
    console.print(
        f"{cluster['total_envs']} environments in {cluster['total_capacity']} slots, {queue['total']} creates waiting; "
        f"Celery tasks: {counts['SENT']} sent, {counts['STARTED']} started, "
        f"{counts['SUCCESS']} succeeded, {counts['FAILURE']} failed"
    )


def _ask(transport: Transport, path: str) -> dict[str, Any]:
    return transport.send(Call("GET", path, timeout_s=TIMEOUT_S, retries=BRIEF))


def _workers(cluster: dict[str, Any], tasks: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("worker", no_wrap=True)
    for heading in ("status", "slots", "runners", "cpu", "mem", "heard", "done", "failed"):
        table.add_column(heading)
    for worker in cluster["workers"]:
        counts = tasks["workers"].get(f"gym@{worker['worker_id']}", {})
        row = (
            worker["worker_id"],
            worker["status"],
            f"{worker['effective_count']}/{worker['max_envs']}",
            " ".join(worker["metadata"].get("available_runners") or ["any"]),
            _percent(worker["cpu_percent"]),
            _percent(worker["memory_percent"]),
            f"{worker['last_heartbeat_ago_sec']:.0f} s ago",
            str(counts.get("succeeded", 0)),
            str(counts.get("failed", 0)),
        )
        table.add_row(*map(Text, row))
    if not cluster["workers"]:
        table.add_row("none yet: gym-anything-worker --master-url <this master>", *[""] * 8)
    return table


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} %"
