"""What it costs a master to show its overview to twenty browsers, at a thousand workers with ten thousand environments.

Run as ``python -m bench.overview``. Each browser reads the live feed, and the last hour every ten seconds, as the page does.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import threading
import time
from collections.abc import Sequence

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from gym_queue.stress.wire import connect, make_request
from gym_queue.testing import Fleet, FleetSetup
from tests.scale.simulated import simulated_workers

BROWSERS = 20
HISTORY_EVERY_S = 10.0
GOAL_PERCENT = 5.0
SETTLE_S = 5.0
"""Before each measurement."""
LISTS = ("/api/workers", "/api/envs", "/api/envs?q=nothing+like+it", "/api/envs?sort=-age_s&offset=5000")
ASKED = 20
"""How often each list is asked for."""


class Browsers:
    """Reads what the page reads, on a thread of its own.

    Args:
        url: The master's.
        token: Shown to it.
        count: How many browsers.
    """

    def __init__(self, url: str, token: str, count: int) -> None:
        self._url, self._token, self._count = url, token, count
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.events = 0

    def start(self) -> None:
        """Open the pages."""
        self._thread.start()

    def stop(self) -> None:
        """Close them."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        for _ in range(self._count):
            self._loop.create_task(self._listen())
            self._loop.create_task(self._look_back())
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _listen(self) -> None:
        url = httpx.URL(self._url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(make_request("GET", "/api/live", token=self._token))
        while line := await reader.readline():
            self.events += line.startswith(b"event:")

    async def _look_back(self) -> None:
        connection = await connect(self._url)
        request = make_request("GET", "/api/history", token=self._token)
        while True:
            (await connection.ask(request)).check()
            await asyncio.sleep(HISTORY_EVERY_S)


def percent_of_a_core(master: psutil.Process, seconds: float) -> float:
    """Return what a program uses for so many seconds."""
    before, start = master.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after, took_s = master.cpu_times(), time.monotonic() - start
    return 100 * (after.user + after.system - before.user - before.system) / took_s


def time_lists(url: str, token: str) -> dict[str, float]:
    """Return how many ms the quickest of some answers to each list took: with the call's own way there and back."""
    headers = {"Authorization": f"Bearer {token}"}
    found = {}
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as http:
        for path in LISTS:
            took_ms = []
            for _ in range(ASKED):
                start = time.perf_counter()
                http.get(path).raise_for_status()
                took_ms.append((time.perf_counter() - start) * 1000)
            found[path] = min(took_ms)
    return found


def measure(*, seconds: float, rounds: int) -> float:
    """Print what the master uses without browsers and with them, in turns; return the difference in % of a core."""
    token = secrets.token_urlsafe(24)
    setup = FleetSetup(workers=0, variables={"GYM_ANYTHING_TOKEN": token})
    table = Table("round", "without", f"with {BROWSERS} browsers", "events a second to each")
    differences = []
    with Fleet(setup) as fleet, simulated_workers(fleet.url, token):
        if fleet.master is None:
            raise SystemExit("there is no master")
        master = psutil.Process(fleet.master.process.pid)
        for number in range(rounds):
            time.sleep(SETTLE_S)
            without = percent_of_a_core(master, seconds)
            browsers = Browsers(fleet.url, token, BROWSERS)
            browsers.start()
            time.sleep(SETTLE_S)
            before = browsers.events
            shown = percent_of_a_core(master, seconds)
            events = (browsers.events - before) / BROWSERS / seconds
            browsers.stop()
            differences.append(shown - without)
            table.add_row(str(number + 1), f"{without:.1f} %", f"{shown:.1f} %", f"{events:.2f}")
        lists = time_lists(fleet.url, token)
    console = Console()
    console.print(table)
    for path, took_ms in lists.items():
        console.print(f"GET {path}: {took_ms:.1f} ms")
    return sum(differences) / len(differences)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and tell whether the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args(arguments)
    difference = measure(seconds=options.seconds, rounds=options.rounds)
    Console().print(
        f"{BROWSERS} browsers cost the master {difference:.1f} % of a core (goal: below {GOAL_PERCENT:g} %)"
    )
    return 0 if difference < GOAL_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
