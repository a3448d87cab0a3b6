"""Raw load: by wrk where it is installed, else by the load generator of ``gym-anything stress``."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gym_queue.errors import StartupFailed
from gym_queue.stress.load import closed_loop
from gym_queue.stress.wire import make_request
from gym_queue.web.server import new_event_loop

TIMEOUT_S = 30

_SCRIPT = """
local paths, threads = {paths}, 0
wrk.method = "{method}"
wrk.body = [[{body}]]
wrk.headers["Authorization"] = "Bearer {token}"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "{accept}"
setup = function(thread)
    thread:set("number", threads)
    threads = threads + 1
end
init = function()
    wrk.path = paths[number % #paths + 1]
end
done = function(summary, latency)
    local e = summary.errors
    print(string.format('{{"requests": %d, "us": %d, "errors": %d, "p50_us": %d, "p99_us": %d}}',
        summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Request:
    """What the connections ask: each of the paths has its own, which ask nothing else.

    A path that several connections share must be one that takes several calls at once, which no step does.
    """

    method: str
    paths: Sequence[str]
    token: str
    body: str = ""
    accept: str = "application/json"


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it."""

    rate: float
    """Requests per second."""
    p50_us: float
    p99_us: float
    errors: int


def load(url: str, request: Request, *, connections: int, seconds: float) -> Load:
    """Put a server under load for some seconds.

    Args:
        url: ``http://host:port``.
        request: What is asked.
        connections: At once; each asks again as soon as it is answered. Paths beyond their number are not asked.
        seconds: How long; wrk takes whole ones.

    Raises:
        StartupFailed: wrk failed.
    """
    if shutil.which("wrk") is None:
        return _load_without(url, request, connections, seconds)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_script(request))
        script.flush()
        threads = min(len(request.paths), connections)  # a script knows its thread, not its connection
        flags = [
            f"-t{threads}",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            f"--timeout={TIMEOUT_S}s",
        ]
        ran = subprocess.run(
            ["wrk", *flags, "-s", script.name, url], capture_output=True, text=True, check=False
        )
    if ran.returncode:
        raise StartupFailed(f"wrk failed on {url}: {(ran.stderr or ran.stdout)[-400:].strip()}")
    found = json.loads(ran.stdout.strip().splitlines()[-1])
    return Load(
        rate=1e6 * found["requests"] / found["us"],
        p50_us=found["p50_us"],
        p99_us=found["p99_us"],
        errors=found["errors"],
    )


def _script(request: Request) -> str:
    paths = "{" + ", ".join(f'"{path}"' for path in request.paths) + "}"
    return _SCRIPT.format(
        paths=paths,
        method=request.method,
        body=request.body,
        token=request.token,
        accept=request.accept,
    )


def _load_without(url: str, request: Request, connections: int, seconds: float) -> Load:
    body = request.body.encode()
    raw = [
        make_request(request.method, path, token=request.token, body=body, accept=request.accept)
        for path in request.paths
    ]
    asks = [(url, raw[number % len(raw)]) for number in range(connections)]
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        found = runner.run(closed_loop(asks, seconds, timeout_s=TIMEOUT_S))
    return Load(found.rate, 1000 * found.p50_ms, 1000 * found.p99_ms, sum(found.errors.values()))


def loader() -> str:
    """Return what makes the load, for the report."""
    return "wrk" if Path(shutil.which("wrk") or "").name == "wrk" else "gym_queue.stress"
