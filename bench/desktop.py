"""Measures real desktops in Docker, at the client, through master and worker: the table of docs/desktops.md.

Needs Docker and the image of tests/images/build.sh x11-lite. Exits with 1 when a goal is missed by more than 15 %.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.goals import Bound, Goal, Outcome, Result
from bench.lab import MIB, Lab, Place, at_most, by_round, main, ms, together
from gym_queue.client import RemoteGymEnv
from gym_queue.env.local import LocalGymEnv
from gym_queue.errors import GymQueueError, StartupFailed
from gym_queue.protocol.sessions import CreateRequest

IMAGE = "gym-queue-test/x11-lite:latest"
DESKTOPS = 8
TEXT = ("The quick brown fox jumps over the lazy dog. " * 5)[:200]
SPEC: dict[str, Any] = {
    "id": "bench-desktop",
    "image": IMAGE,
    "runner": "docker",
    "entrypoint": "/workspace/start_app.sh",
    "resources": {"net": False},
    "security": {"user": "1000:1000"},
    "observation": [{"type": "rgb_screen", "resolution": [1280, 720]}],
    "action": [{"type": "mouse"}, {"type": "keyboard"}],
}
SETTLE_MS = 100


def rows(place: Place) -> Iterator[Result]:
    """Measure everything, row by row."""
    for measure in (_observe, _step, _click, _typing, _life, _memory, _crowd):
        place.tell(measure.__name__.strip("_"))
        yield from measure(place)


def _observe(place: Place) -> Iterator[Result]:
    with LocalGymEnv(CreateRequest(env_spec=SPEC)) as env:
        env.reset()
        moved = by_round(place, lambda: _observations(env, lambda n: {"mouse": {"move": [100 + n, 100 + n]}}))
        drawn = by_round(place, lambda: _observations(env, lambda _: {"keyboard": {"text": "ls -la /etc\n"}}))
    what = "observe in the env process, 1280x720"
    yield Result.of(at_most("observe", f"{what}, the pointer moved", "ms", 8), Outcome(moved))
    yield Result.of(
        at_most("observe-text", f"{what}, a terminal full of text scrolled", "ms", 8), Outcome(drawn)
    )


def _observations(env: LocalGymEnv, action: Callable[[int], dict[str, Any]]) -> float:
    """Return the median time of fresh pixels and their PNG after a change, in ms."""
    spent = []
    for number in range(40):
        env.step([action(number)], capture_observation=False)
        spent.append(ms(env.capture_observation))
    return statistics.median(spent)


def _step(place: Place) -> Iterator[Result]:
    p50, p95, errors, references = [], [], 0, []
    with place.sandbox() as env:
        session = env.get_session_info()
        container = str(session.container_name if session else "")
        for _ in range(place.rounds):
            spent = []
            for number in range(100):
                move = [{"mouse": {"move": [100 + 5 * number, 100 + 3 * number]}}]
                spent.append(ms(env.step, move, settle_after_actions=False))
            p50.append(statistics.median(spent))
            p95.append(statistics.quantiles(spent, n=20)[-1])
            references.append(statistics.median(_docker_exec(container) for _ in range(10)))
    what = "step at the client: one mouse move, not settled, with its PNG"
    yield Result.of(at_most("step-p50", f"{what}, p50", "ms", 15), Outcome(p50, errors=errors))
    yield Result.of(at_most("step-p95", f"{what}, p95", "ms", 25), Outcome(p95))
    ratio = Goal("step-ratio", f"{what}, p50", "ms", Bound.AT_MOST, 0.25, "`docker exec true`")
    yield Result.of(ratio, Outcome(p50, references))


def _docker_exec(container: str) -> float:
    return ms(subprocess.run, ["docker", "exec", container, "true"], check=True, capture_output=True)


def _click(place: Place) -> Iterator[Result]:
    with place.sandbox() as env:
        clicks = ({"mouse": {"right_click": [60, 600]}}, {"mouse": {"left_click": [900, 680]}})

        def settled() -> float:
            return statistics.median(ms(env.step, [clicks[n % 2]]) for n in range(20))

        spent = by_round(place, settled)
    what = "step: a click that opens or shuts a menu, settled (settle_ms 100)"
    yield Result.of(at_most("click", what, "ms", SETTLE_MS + 40), Outcome(spent))


def _typing(place: Place) -> Iterator[Result]:
    spent, lost = [], 0
    runs = 10 * place.rounds
    with place.sandbox() as env:
        for _ in range(runs):
            env.step([{"keyboard": {"text": "cat > typed\n"}}])
            typing = [{"keyboard": {"text": TEXT}}]
            spent.append(ms(env.step, typing, settle_after_actions=False))
            env.step([{"keyboard": {"text": "\n"}}, {"keyboard": {"keys": ["ctrl", "d"]}}])
            lost += _typed(env) != TEXT + "\n"
    what = f"typing 200 characters, {runs} runs"
    yield Result.of(
        at_most("typing", f"{what}, p50", "ms", 300), Outcome([statistics.median(spent)], errors=lost)
    )
    yield Result.of(at_most("typing-lost", f"{what}: that lost some", "runs", 0.5), Outcome([lost]))


def _typed(env: RemoteGymEnv) -> str:
    env.copy_from_env("typed", "typed.txt")
    with tempfile.TemporaryDirectory() as folder:
        return Path(env.fetch_path("typed.txt", f"{folder}/typed.txt")).read_text()


def _life(place: Place) -> Iterator[Result]:
    cold, again, cached, closed = [], [], [], []
    for _ in range(place.rounds):
        env = place.open()
        cold.append(ms(env.reset) / 1000)
        again.append(ms(env.reset) / 1000)
        env.reset(use_cache=True, cache_level="post_start")
        cached.append(ms(env.reset, use_cache=True, cache_level="post_start") / 1000)
        closed.append(ms(env.close) / 1000)
    yield Result.of(at_most("reset-cold", "reset, cold, the image present", "s", 3), Outcome(cold))
    yield Result.of(at_most("reset-again", "reset again", "s", 1.5), Outcome(again))
    yield Result.of(at_most("reset-cached", "reset from a checkpoint", "s", 1.5), Outcome(cached))
    yield Result.of(at_most("close", "close", "s", 1), Outcome(closed))


def _memory(place: Place) -> Iterator[Result]:
    before, envs = place.memory_bytes(), []
    try:
        for _ in range(4):
            envs.append(place.open())
            envs[-1].reset()
            for number in range(50):
                envs[-1].step([{"mouse": {"move": [number, number]}}], settle_after_actions=False)
        each = (place.memory_bytes() - before) / len(envs) / MIB
    finally:
        for env in envs:
            env.close()
    what = "what a desktop adds to the worker, outside its container (PSS)"
    yield Result.of(at_most("memory", what, "MiB", 60), Outcome([each]))


def _crowd(place: Place) -> Iterator[Result]:
    envs = [place.open() for _ in range(DESKTOPS)]
    counts, errors = [0] * DESKTOPS, []
    until = 0.0

    def drive(number: int) -> None:
        try:
            while time.monotonic() < until:
                move = [{"mouse": {"move": [100 + counts[number] % 900, 300]}}]
                envs[number].step(move, settle_after_actions=False)
                counts[number] += 1
        except GymQueueError as error:
            errors.append(str(error))

    try:
        together([env.reset for env in envs])
        until = time.monotonic() + 5 * place.rounds
        together([partial(drive, number) for number in range(DESKTOPS)])
    finally:
        for env in envs:
            env.close()
    what = f"{DESKTOPS} desktops stepping at once"
    fairness = Outcome([max(counts) / max(1, min(counts))], errors=len(errors))
    yield Result.of(at_most("crowd", f"{what}: most / fewest steps", "", 1.5), fairness)
    rate = Goal("crowd-rate", f"{what}: all steps", "/s", Bound.AT_LEAST, 1, binding=False)
    yield Result.of(rate, Outcome([sum(counts) / (5 * place.rounds)]))


def _check() -> None:
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True).returncode:
        raise StartupFailed(f"there is no image {IMAGE}: start Docker and run tests/images/build.sh x11-lite")


LAB = Lab(
    program="python -m bench.desktop",
    summary=str(__doc__).partition("\n")[0],
    page="docs/desktops.md",
    spec=SPEC,
    runner="docker",
    max_envs=DESKTOPS + 2,
    rows=rows,
    check=_check,
)

if __name__ == "__main__":
    main(LAB)
