"""Measures virtual machines, at the client through master and worker and beside them: the table of docs/vms.md.

Needs QEMU and the image debian-x11 (``gym-anything image build debian-x11``). Where nothing accelerates machines they
are emulated. Exits with 1 when a goal is missed by more than 15 %.
"""

from __future__ import annotations

import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from bench.goals import Bound, Goal, Outcome, Result
from bench.lab import MIB, Lab, Place, at_most, by_round, main, ms, together
from gym_queue.errors import GymQueueError, StartupFailed
from gym_queue.runners.base import RunnerSetup, VmOptions
from gym_queue.runners.qemu.acceleration import choose_acceleration
from gym_queue.runners.qemu.guest.agent import GuestAgent
from gym_queue.runners.qemu.images.store import ImageStore
from gym_queue.runners.qemu.machine import AGENT
from gym_queue.runners.qemu.runner import QemuRunner
from gym_queue.specs.env import EnvSpec

IMAGE = "debian-x11"
SPEC: dict[str, Any] = {
    "id": "bench-vm",
    "image": IMAGE,
    "runner": "qemu",
    "entrypoint": "xterm",
    "resources": {"cpu": 2, "mem_gb": 1, "net": False},
    "observation": [{"type": "rgb_screen", "resolution": [1280, 720]}],
    "action": [{"type": "mouse"}, {"type": "keyboard"}],
}
COPY_BYTES = 10 * MIB
BUSY_S = 8.0
OPTIONS = VmOptions(allow_emulation=True)
MACHINES = 4
"""Open at once where memory is measured: what they share counts in shares."""
PAIRS = 3
"""Rounds of what is compared with a program of others at least: theirs waits in steps of its own."""
BOOTS = 2
"""Cold boots that are measured at most: each takes most of a minute without acceleration."""


def rows(place: Place) -> Iterator[Result]:
    """Measure everything, row by row."""
    for measure in (_boot, _inside, _reset, _step, _memory, _two):
        place.tell(measure.__name__.strip("_"))
        yield from measure(place)


def _boot(place: Place) -> Iterator[Result]:
    spent = []
    for _ in range(min(BOOTS, place.rounds)):
        with _machine(VmOptions(allow_emulation=True, keep_booted=False)) as (runner, _):
            spent.append(ms(runner.start) / 1000)
    yield Result.of(at_most("boot", f"boot of {IMAGE} to a usable desktop", "s", 60), Outcome(spent))


def _inside(place: Place) -> Iterator[Result]:
    """Measure commands and copies at the runner: nothing of ours lies between but the channel."""
    with _machine(OPTIONS) as (runner, folder):
        runner.start()
        agent = GuestAgent(folder / "vm" / AGENT, lambda: None)
        try:
            ours, theirs = [], []
            for _ in range(max(PAIRS, place.rounds)):
                ours.append(statistics.median(_exec(runner) for _ in range(20)))
                theirs.append(statistics.median(ms(agent.run, ["/bin/true"], timeout_s=60) for _ in range(5)))
        finally:
            agent.close()
        blob = folder / "blob"
        blob.write_bytes(secrets.token_bytes(COPY_BYTES))
        to = by_round(place, lambda: ms(runner.copy_to, blob, "/tmp/blob") / 1000)  # noqa: S108  inside
        back = by_round(place, lambda: ms(runner.copy_from, "/tmp/blob", folder / "back") / 1000)  # noqa: S108
    yield Result.of(at_most("exec", "exec `true` in a login bash, p50", "ms", 60), Outcome(ours))
    ratio = Goal("exec-ratio", "the same", "ms", Bound.AT_MOST, 1, "`guest-exec /bin/true` of qemu-ga")
    yield Result.of(ratio, Outcome(ours, theirs))
    yield Result.of(at_most("copy-to", "copy 10 MiB into the machine", "s", 3), Outcome(to))
    yield Result.of(at_most("copy-from", "copy 10 MiB out of the machine", "s", 3), Outcome(back))


def _exec(runner: QemuRunner) -> float:
    time.sleep(0.1)  # as an agent would: what is made ready for the next command is ready
    return ms(runner.exec, "true", timeout_s=60)


def _reset(place: Place) -> Iterator[Result]:
    opened, again, cached, closed = [], [], [], []
    kept = {"use_savevm": True, "cache_level": "post_start"}
    for _ in range(place.rounds):
        began = time.perf_counter()
        env = place.open()
        try:
            env.reset()
            opened.append(time.perf_counter() - began)
            again.append(ms(env.reset) / 1000)
            env.reset(**kept)  # type: ignore[arg-type]  # as it takes them
            cached.append(ms(env.reset, **kept) / 1000)
        finally:
            closed.append(ms(env.close) / 1000)
    yield Result.of(at_most("reset-savevm", "reset from a savevm checkpoint", "s", 6), Outcome(cached))
    yield Result.of(
        at_most("create", "create and reset, the machine booted before", "s", 10), Outcome(opened)
    )
    yield Result.of(at_most("reset-again", "reset without a checkpoint", "s", 10), Outcome(again))
    yield Result.of(at_most("close", "close", "s", 1), Outcome(closed))


def _step(place: Place) -> Iterator[Result]:
    p50, p95 = [], []
    with place.sandbox() as env:
        for _ in range(place.rounds):
            spent = []
            for number in range(60):
                move = [{"mouse": {"move": [100 + 5 * number, 100 + 3 * number]}}]
                spent.append(ms(env.step, move, settle_after_actions=False))
            p50.append(statistics.median(spent))
            p95.append(statistics.quantiles(spent, n=20)[-1])
        clicks = ({"mouse": {"right_click": [60, 600]}}, {"mouse": {"left_click": [900, 680]}})
        click = by_round(place, lambda: statistics.median(ms(env.step, [clicks[n % 2]]) for n in range(8)))
    what = "step at the client: one mouse move, not settled, with its PNG"
    yield Result.of(at_most("step-p50", f"{what}, p50", "ms", 80), Outcome(p50))
    yield Result.of(at_most("step-p95", f"{what}, p95", "ms", 200), Outcome(p95))
    said = "step: a click that opens or shuts a menu, settled (settle_ms 100)"
    yield Result.of(at_most("click", said, "ms", 600), Outcome(click))


def _memory(place: Place) -> Iterator[Result]:
    before, envs = _ours(place), []
    try:
        for _ in range(MACHINES):
            envs.append(place.open())
            envs[-1].reset()
            for number in range(50):
                envs[-1].step([{"mouse": {"move": [number, number]}}], settle_after_actions=False)
        ours = (_ours(place) - before) / MACHINES
        below = place.worker.children(recursive=True)
        theirs = [_outside_guest(each) for each in below if each.name().startswith("qemu-system")]
    finally:
        for env in envs:
            env.close()
    what = f"what a machine adds to the worker, outside QEMU (PSS, of {MACHINES})"
    goal = at_most("memory", what, "MiB", 60)
    yield Result.of(goal, Outcome([ours / MIB]))
    said = "QEMU's own memory, outside the guest's (PSS; 128 MiB of it translated code, where it is emulated)"
    yield Result.of(at_most("memory-qemu", said, "MiB", 224), Outcome([statistics.mean(theirs) / MIB]))


def _ours(place: Place) -> float:
    """Return what the worker and its processes hold but for QEMU's, in bytes, shared pages counted in shares."""
    processes = (place.worker, *place.worker.children(recursive=True))
    ours = [each for each in processes if not each.name().startswith("qemu")]
    return float(sum(each.memory_full_info().pss for each in ours))


def _outside_guest(process: psutil.Process) -> float:
    """Return the PSS of a process without the mapping of its guest's memory, in bytes."""
    total, is_counted = 0, True
    for line in Path(f"/proc/{process.pid}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            is_counted = not line.endswith("/ram")
        elif words[0] == "Pss:" and is_counted:
            total += int(words[1]) * 1024
    return float(total)


def _two(_: Place) -> Iterator[Result]:
    """Let two machines compute with all their processors, and ask both all the while."""
    with _machine(OPTIONS) as (first, _first), _machine(OPTIONS) as (second, _second):
        runners = (first, second)
        counts: list[list[float]] = [[], []]
        errors: list[str] = []
        for runner in runners:
            runner.start()
            runner.exec("for n in 1 2; do (while :; do :; done) & done >/dev/null 2>&1", timeout_s=60)
        until = time.monotonic() + BUSY_S

        def drive(number: int) -> None:
            try:
                while time.monotonic() < until:
                    counts[number].append(ms(runners[number].exec, "true", timeout_s=60))
            except GymQueueError as error:
                errors.append(str(error))

        together([partial(drive, number) for number in range(len(runners))])
    many, few = max(map(len, counts)), min(map(len, counts))
    what = "two machines that compute on all they have, each asked for `true`"
    fair = Outcome([many / max(1, few)], errors=len(errors))
    yield Result.of(at_most("two-fair", f"{what}: most / fewest answers", "", 1.5), fair)
    slow = Outcome([max(max(each, default=60_000.0) for each in counts)])
    yield Result.of(at_most("two-slowest", f"{what}: the slowest", "ms", 5000), slow)


@contextmanager
def _machine(options: VmOptions) -> Iterator[tuple[QemuRunner, Path]]:
    """Give a runner that is not started, and its folder."""
    folder = Path(tempfile.mkdtemp(prefix="gym-queue-bench-"))
    runner = QemuRunner(
        RunnerSetup(f"bench-{secrets.token_hex(4)}", EnvSpec.model_validate(SPEC), None, folder, vm=options)
    )
    try:
        yield runner, folder
    finally:
        runner.close()
        shutil.rmtree(folder, ignore_errors=True)


def _check() -> None:
    try:
        ImageStore().find(IMAGE)
        print(f"virtual machines by {choose_acceleration(OPTIONS)}")  # noqa: T201  which table this is
    except GymQueueError as error:
        raise StartupFailed(str(error)) from error


LAB = Lab(
    program="python -m bench.vm",
    summary=str(__doc__).partition("\n")[0],
    page="docs/vms.md",
    spec=SPEC,
    runner="qemu",
    max_envs=MACHINES + 1,
    rows=rows,
    check=_check,
    worker_arguments=("--allow-emulation",),
    rounds=3,
)

if __name__ == "__main__":
    main(LAB)
