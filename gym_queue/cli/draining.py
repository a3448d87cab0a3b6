"""``gym-anything drain`` and ``undrain``: workers that take no more environments, for an upgrade."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import Annotated, Any

import typer

from gym_queue.client.calls import Call
from gym_queue.client.retry import BRIEF
from gym_queue.client.transport import Transport, transport_to
from gym_queue.errors import EnvTimeout, RequestInvalid
from gym_queue.settings import DEFAULT_MASTER_PORT

TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.5

Workers = Annotated[
    list[str] | None, typer.Argument(help="Ids of the workers, as `gym-anything status` shows.")
]
All = Annotated[bool, typer.Option("--all", help="Every worker of the fleet.")]
RemoteUrl = Annotated[str, typer.Option(envvar="GYM_ANYTHING_REMOTE_URL", help="The master.")]
DEFAULT_URL = f"http://localhost:{DEFAULT_MASTER_PORT}"


def drain(
    workers: Workers = None,
    all_workers: All = False,
    wait: Annotated[
        float | None, typer.Option(min=0, help="Wait up to so many seconds until they have no environment.")
    ] = None,
    remote_url: RemoteUrl = DEFAULT_URL,
) -> None:
    """Send workers no more environments; those that run go on until their clients close them.

    Example: gym-anything drain --all --wait 600
    """
    with closing(transport_to(remote_url)) as transport:
        chosen = _choose(transport, workers, all_workers=all_workers)
        for worker_id in chosen:
            typer.echo(_tell(transport, "drain", worker_id)["message"])
        if wait is not None:
            _wait_until_empty(transport, chosen, wait)


def undrain(workers: Workers = None, all_workers: All = False, remote_url: RemoteUrl = DEFAULT_URL) -> None:
    """Send drained workers environments again.

    Example: gym-anything undrain --all
    """
    with closing(transport_to(remote_url)) as transport:
        for worker_id in _choose(transport, workers, all_workers=all_workers):
            typer.echo(_tell(transport, "undrain", worker_id)["message"])


def _choose(transport: Transport, workers: list[str] | None, *, all_workers: bool) -> list[str]:
    if bool(workers) == all_workers:
        raise RequestInvalid("name the workers, or all of them with --all")
    if workers:
        return workers
    return [worker["worker_id"] for worker in _list(transport) if worker["status"] != "dead"]


def _wait_until_empty(transport: Transport, chosen: list[str], wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        busy = {
            worker["worker_id"]: worker["effective_count"]
            for worker in _list(transport)
            if worker["worker_id"] in chosen and worker["effective_count"] and worker["status"] != "dead"
        }
        if not busy:
            typer.echo("no environment is left on them")
            return
        if time.monotonic() > deadline:
            left = ", ".join(f"{worker_id} ({count})" for worker_id, count in busy.items())
            raise EnvTimeout(
                f"environments are left after {wait_s:g} s on {left}: wait on, or stop the workers, which gives them their grace period"
            )
        time.sleep(LOOK_EVERY_S)


def _list(transport: Transport) -> list[dict[str, Any]]:
    found = transport.send(Call("GET", "/workers/list", timeout_s=TIMEOUT_S, retries=BRIEF))
    return list(found["workers"])


def _tell(transport: Transport, what: str, worker_id: str) -> dict[str, Any]:
    body = json.dumps({"worker_id": worker_id}).encode()
    call = Call("POST", f"/workers/{what}", timeout_s=TIMEOUT_S, retries=BRIEF, body=body)
    return transport.send(call)
