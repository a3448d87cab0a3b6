"""Our hop against nginx's, before a backend that answers at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.effort import Effort, Measure
from bench.fleets import started
from bench.goals import Bound, Goal, Outcome, Row
from bench.wrk import Load, Request, load
from gym_queue.stress.nginx import Nginx

LATENCY_TURNS = 4
SMALL_BYTES, LARGE_BYTES = 2_000, 200_000
STEP = '{"actions": [{"keyboard": {"keys": "a"}}], "wait_between_actions": 0}'


@dataclass(frozen=True, slots=True)
class Hop:
    """Three ways to one backend."""

    ours: str
    nginx: str
    straight: str
    small: Request
    large: Request


@contextmanager
def hop() -> Iterator[Hop]:
    """Start a backend, our master before it, and nginx before it; one process each."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "large")
        file.write_bytes(b"x" * LARGE_BYTES)
        backend = (
            f'location = /envs/bench/step {{ return 200 "{"x" * SMALL_BYTES}"; }} '
            f"location = /envs/bench/fetch_path {{ alias {file}; }}"
        )
        with Nginx([backend]) as behind, started(0) as fleet, Nginx.before(behind.urls) as front:
            fleet.adopt(behind.urls[0], ["bench"])
            yield Hop(
                ours=fleet.url,
                nginx=front.urls[0],
                straight=behind.urls[0],
                small=Request("POST", ["/envs/bench/step"], fleet.token, STEP),
                large=Request("GET", ["/envs/bench/fetch_path"], fleet.token),
            )


def rows() -> list[Row[Hop]]:
    """Return the rows measured here."""
    least, most = Bound.AT_LEAST, Bound.AT_MOST
    latency = Goal("hop-latency", "latency our hop adds, 2 KB, 1 connection", "µs", most, 1.5, "nginx")
    many = Goal(
        "hop-1000", "requests through the hop, 2 KB, 1000 connections", "/s", least, 0.9, "ours at 100"
    )
    found = [Row([latency], _latency)]
    for at_once in (32, 200):
        what = f"requests through the hop, 2 KB, {at_once} connections"
        goal = Goal(f"hop-rate-{at_once}", what, "/s", least, 0.6, "nginx")
        found.append(Row([goal], partial(_rate, at_once=at_once)))
    for at_once in (32, 200):
        what = f"bytes through the hop, 200 KB, {at_once} connections"
        goal = Goal(f"hop-large-{at_once}", what, "MB/s", least, 0.8, "nginx")
        found.append(Row([goal], partial(_large, at_once=at_once)))
    return [*found, Row([many], _many)]


def _latency(hop: Hop, effort: Effort) -> list[Outcome]:
    ways = {url: partial(load, url, hop.small, connections=1) for url in (hop.straight, hop.ours, hop.nginx)}
    rounds = effort.finer(LATENCY_TURNS).in_turn(ways)
    return [
        Outcome(
            [found[hop.ours].p50_us - found[hop.straight].p50_us for found in rounds],
            [found[hop.nginx].p50_us - found[hop.straight].p50_us for found in rounds],
            sum(found[hop.ours].errors for found in rounds),
        )
    ]


def _rate(hop: Hop, effort: Effort, *, at_once: int) -> list[Outcome]:
    return _against_nginx(hop, effort, hop.small, at_once, 1.0)


def _large(hop: Hop, effort: Effort, *, at_once: int) -> list[Outcome]:
    return _against_nginx(hop, effort, hop.large, at_once, LARGE_BYTES / 1e6)


def _against_nginx(hop: Hop, effort: Effort, request: Request, at_once: int, scale: float) -> list[Outcome]:
    ways: dict[str, Measure[Load]] = {
        url: partial(load, url, request, connections=at_once) for url in (hop.ours, hop.nginx)
    }
    rounds = effort.in_turn(ways)
    return [
        Outcome(
            [found[hop.ours].rate * scale for found in rounds],
            [found[hop.nginx].rate * scale for found in rounds],
            sum(found[hop.ours].errors for found in rounds),
        )
    ]


def _many(hop: Hop, effort: Effort) -> list[Outcome]:
    ways = {str(n): partial(load, hop.ours, hop.small, connections=n) for n in (100, 1000)}
    rounds = effort.in_turn(ways)
    return [
        Outcome(
            [found["1000"].rate for found in rounds],
            [found["100"].rate for found in rounds],
            sum(found["1000"].errors for found in rounds),
        )
    ]
