"""``gym-anything chaos``: faults on a fleet of this machine's, and what its clients notice of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from gym_queue.chaos.cluster import Shape, Start
from gym_queue.chaos.networks import Networks, why_no_networks
from gym_queue.chaos.report import save, show
from gym_queue.chaos.run import SCENARIOS, run
from gym_queue.chaos.stage import Amount
from gym_queue.cli.common import FAILED
from gym_queue.log import configure_logging
from gym_queue.testing import Fleet, FleetSetup


def chaos(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(SCENARIOS)}; all when none is named.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="random: for how long faults come.")] = 60.0,
    seed: Annotated[int | None, typer.Option(help="random: which faults come; made up if not given.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller form of each scenario.")] = False,
    output: Annotated[Path | None, typer.Option("--json", help="File for the findings as JSON.")] = None,
    logs: Annotated[
        Path | None, typer.Option(help="Folder for the fleet's logs where a target was missed.")
    ] = None,
) -> NoReturn:
    """Kill, stop, cut and restart the parts of a real fleet under real clients; exit 0 only if every target is met.

    Example: gym-anything chaos restarts random --seconds 600 --seed 7
    """
    configure_logging("CRITICAL")  # clients retry, and say so each time
    token, errors = secrets.token_urlsafe(24), Console(stderr=True)
    amount = Amount(quick=quick, seconds=seconds, seed=secrets.randbelow(10**6) if seed is None else seed)
    findings = run(
        scenarios or [],
        amount,
        start=_starter(token),
        token=token,
        say=lambda line: errors.print(line, markup=False, highlight=False),
        logs=logs,
    )
    show(findings, Console())
    if output:
        save(findings, output)
    raise typer.Exit(0 if findings.ok else FAILED)


class _Fleet(Fleet):
    """A fleet whose workers may have networks that can be cut."""

    def __init__(self, setup: FleetSetup, networks: Networks | None) -> None:
        super().__init__(setup)
        self._networks = networks

    @property
    def can_cut(self) -> bool:
        """Whether its workers have networks of their own."""
        return self._networks is not None

    def cut_worker(self, number: int) -> None:
        """Take a worker's network away."""
        if self._networks is not None:
            self._networks.cut(number)

    def mend_worker(self, number: int) -> None:
        """Give it back."""
        if self._networks is not None:
            self._networks.mend(number)


def _starter(token: str) -> Start:
    @contextmanager
    def start(shape: Shape) -> Iterator[_Fleet]:
        with ExitStack() as stack:
            networks = None
            if shape.networks and why_no_networks() is None:
                networks = stack.enter_context(Networks(shape.workers))
            setup = FleetSetup(
                workers=shape.workers,
                max_envs=shape.slots,
                host="127.0.0.1" if networks is None else "0.0.0.0",
                grace_s=shape.grace_s,
                master_arguments=("--heartbeat", f"{shape.heartbeat_s:g}"),
                worker_arguments=("--runners", "fake"),
                variables={"GYM_ANYTHING_TOKEN": token},
                networks=() if networks is None else networks.places,
            )
            fleet = _Fleet(setup, networks)
            with fleet:
                yield fleet

    return start
