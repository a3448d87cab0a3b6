"""``gym-anything stress``: load on a fleet of this machine's, or on one that runs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gym_queue.cli.chaos import chaos
from gym_queue.cli.common import FAILED
from gym_queue.client.transport import check_url
from gym_queue.errors import RequestInvalid
from gym_queue.log import configure_logging
from gym_queue.settings import find_token
from gym_queue.stress.nginx import Nginx
from gym_queue.stress.pinning import pin as pin_program
from gym_queue.stress.plan import Mode, Plan, Target, null_spec, rate_levels
from gym_queue.stress.plan import Progress as Told
from gym_queue.stress.report import Report, save, show
from gym_queue.stress.run import COMPARED, run
from gym_queue.testing import Fleet, FleetSetup


class Other(StrEnum):
    """What ``--compare`` takes."""

    NGINX = "nginx"


@dataclass(frozen=True)
class Driven:
    """A fleet to drive, and its programs on this machine."""

    target: Target
    worker_urls: list[str]
    pids: dict[str, int]


WithFaults = Annotated[
    bool, typer.Option("--chaos", help="Faults in the place of load: as `gym-anything chaos`.")
]


def stress(
    mode: Annotated[Mode | None, typer.Argument(help="What to measure.")] = None,
    remote_url: Annotated[
        str | None, typer.Option(help="A running master; a fleet of its own when not given.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Workers of its own fleet.")] = 1,
    slots: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Slots per worker of its own fleet.")
    ] = None,
    envs: Annotated[
        int,
        typer.Option(min=1, max=10_000, help="Environments that steps go to; rate: the most connections."),
    ] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the figures are their medians.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="latency: steps by each path, a round.")] = 200,
    seconds: Annotated[float, typer.Option(min=0.1, help="rate: seconds by each path, a round.")] = 3.0,
    concurrency: Annotated[
        str, typer.Option(help="rate, creates: connections, such as 1,10,50; rate: no more than --envs.")
    ] = "",
    creates: Annotated[int, typer.Option(min=1, help="creates, burst: creates a round.")] = 64,
    sessions: Annotated[int, typer.Option(min=1, help="sessions: how many at once.")] = 64,
    create_delay: Annotated[float, typer.Option(min=0, help="Seconds an environment takes to start.")] = 0.0,
    step_delay: Annotated[
        float | None, typer.Option(min=0, help="Seconds a step takes; 1 in sessions, else 0.")
    ] = None,
    frame_bytes: Annotated[int, typer.Option(min=0, help="Rough size of a frame's PNG.")] = 0,
    compare: Annotated[
        Other | None, typer.Option(help="latency, rate: put this before the same workers, in turn.")
    ] = None,
    pin: Annotated[
        int | None, typer.Option(min=0, help="Processor that master and nginx are both kept on.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Longest one create or session may take.")] = 120.0,
    output: Annotated[Path | None, typer.Option(help="File for the figures as JSON.")] = None,
    with_faults: WithFaults = False,
) -> None:
    """Drive null environments through a real master and real workers; exit 0 only if no call failed.

    Example: gym-anything stress latency --compare nginx
    """
    if with_faults:
        chaos(output=output)
    configure_logging("WARNING")
    plan = Plan(
        mode=_check_mode(mode, compare),
        envs=envs,
        rounds=rounds,
        steps=steps,
        seconds=seconds,
        concurrency=_levels(concurrency),
        creates=creates,
        sessions=sessions,
        timeout_s=timeout,
    )
    if plan.mode is Mode.RATE:
        rate_levels(plan)  # refused before a fleet is started
    delay_s = step_delay if step_delay is not None else float(plan.mode is Mode.SESSIONS)
    spec = null_spec(create_delay_s=create_delay, step_delay_s=delay_s, frame_bytes=frame_bytes)
    fleet = _running(remote_url, spec) if remote_url else _own_fleet(spec, workers, slots or _slots(plan))
    _tell(_drive(plan, fleet, with_nginx=compare is not None, cpu=pin), output)


def _tell(report: Report, output: Path | None) -> NoReturn:
    """Show the figures, and end with a status that says whether a call failed."""
    show(report, Console())
    if output:
        save(report, output)
    raise typer.Exit(FAILED if report.error_count else 0)


def _check_mode(mode: Mode | None, compare: Other | None) -> Mode:
    if mode is None:
        raise RequestInvalid(f"what to measure is not said: name one of {', '.join(Mode)}, or give --chaos")
    if compare and mode not in COMPARED:
        raise RequestInvalid(f"nginx forwards no creates: --compare goes with {' or '.join(COMPARED)}")
    return mode


def _drive(plan: Plan, fleet: AbstractContextManager[Driven], *, with_nginx: bool, cpu: int | None) -> Report:
    with ExitStack() as stack:
        driven = stack.enter_context(fleet)
        if with_nginx:
            driven = _with_nginx(stack, driven)
        if cpu is not None:
            _pin(driven, cpu)
        told = stack.enter_context(_progress(Console(stderr=True)))
        return run(plan, driven.target, pids=driven.pids, progress=told)


def _levels(text: str) -> tuple[int, ...]:
    try:
        levels = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        levels = (0,)
    if any(not 1 <= level <= 10_000 for level in levels):
        raise RequestInvalid(
            f"--concurrency {text!r} is not valid: write numbers from 1 to 10000, as 1,10,50"
        )
    return levels


def _slots(plan: Plan) -> int:
    """Return how many slots a worker needs for all that is open at once; a burst has a quarter of that."""
    if plan.mode is Mode.BURST:
        return max(1, plan.creates // 4)
    return {Mode.CREATES: plan.creates + 1, Mode.SESSIONS: plan.sessions}.get(plan.mode, plan.envs)


@contextmanager
def _running(url: str, spec: dict[str, Any]) -> Iterator[Driven]:
    yield Driven(Target(check_url(url), find_token() or "", spec), [], {})


@contextmanager
def _own_fleet(spec: dict[str, Any], workers: int, slots: int) -> Iterator[Driven]:
    token = secrets.token_urlsafe(24)
    setup = FleetSetup(
        workers=workers,
        max_envs=slots,
        worker_arguments=("--runners", "fake", "--log-level", "WARNING"),
        master_arguments=("--log-level", "WARNING"),
        variables={"GYM_ANYTHING_TOKEN": token},
    )
    Console(stderr=True).print(f"starting a master and {workers} workers ..")
    with Fleet(setup) as fleet:
        programs = {"master": fleet.master, **{f"worker {n + 1}": w for n, w in enumerate(fleet.workers)}}
        pids = {name: program.process.pid for name, program in programs.items() if program}
        worker_urls = [url.rstrip("/") for url in fleet.worker_urls]
        yield Driven(Target(fleet.url, token, spec), worker_urls, pids)


def _with_nginx(stack: ExitStack, driven: Driven) -> Driven:
    """Put nginx before the same workers."""
    if not driven.worker_urls:
        raise RequestInvalid("--compare needs a fleet of its own: leave --remote-url out")
    nginx = stack.enter_context(Nginx.before(driven.worker_urls))
    fronts = dict(zip(driven.worker_urls, nginx.urls, strict=True))
    return replace(
        driven,
        target=replace(driven.target, fronts=fronts),
        pids={**driven.pids, "nginx": nginx.pid},
    )


def _pin(driven: Driven, cpu: int) -> None:
    if not driven.pids:
        raise RequestInvalid("--pin needs a fleet of its own: leave --remote-url out")
    for name in ("master", "nginx"):
        if name in driven.pids:
            pin_program(driven.pids[name], cpu)


@contextmanager
def _progress(console: Console) -> Iterator[Told]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=4, transient=True) as bar:
        task = bar.add_task("opening ..", total=None)

        def told(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield told
