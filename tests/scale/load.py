"""A thousand workers in one process: they register, send heartbeats and answer when asked whether they live.

Run as ``python -m tests.scale.load MASTER_URL``, with the cluster token in ``GYM_ANYTHING_TOKEN``. It writes a line once
every worker has told all it has, beats until its standard input ends, and then writes what became of the heartbeats.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from gym_queue.errors import GymQueueError
from gym_queue.stress.wire import Connection, connect, make_request

WORKERS, ENVS = 1000, 10
REGISTERING = 50
"""Workers that register at once."""


@dataclass
class Beats:
    """What became of the heartbeats."""

    sent: int = 0
    failures: list[str] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        took = sorted(self.took_ms)
        p99_ms = took[int(len(took) * 0.99)] if took else None
        return {"sent": self.sent, "failed": len(self.failures), "p99_ms": p99_ms, "why": self.failures[:3]}


class SimulatedWorker:
    """One worker with live environments, on a kept-alive connection of its own.

    Args:
        number: Tells it from others.
        port: Where all of them answer, each at a loopback address of its own.
        master_url: The master's.
        beats: What became of its heartbeats is added here.
    """

    def __init__(self, number: int, port: int, master_url: str, beats: Beats) -> None:
        self.worker_id = worker_id_of(number)
        self.url = f"http://127.0.{1 + number // 250}.{1 + number % 250}:{port}"
        self._master_url, self._token, self._beats = master_url, os.environ["GYM_ANYTHING_TOKEN"], beats
        self._env_ids = [str(uuid.uuid4()) for _ in range(ENVS)]
        self._sequence = time.time_ns()
        self._connection: Connection | None = None
        self._steps = 0
        self.heartbeat_s = 0.0

    async def join(self) -> None:
        """Register, and tell what is here."""
        body = {
            "worker_id": self.worker_id,
            "url": self.url,
            "hostname": "simulated",
            "max_envs": ENVS,
            "metadata": {"available_runners": ["local"], "pid": 1},
            "queues": [f"env.local.{self.worker_id}"],
            "resources": {"cpu": 8, "mem_gb": 32},
        }
        self.heartbeat_s = (await self._post("register", body))["heartbeat_s"]
        await self.beat()

    async def beat(self) -> None:
        """Send one heartbeat."""
        self._sequence += 1
        body = {
            "worker_id": self.worker_id,
            "env_count": ENVS,
            "env_ids": self._env_ids,
            "opening": [],
            "cpu_percent": 50.0,
            "memory_percent": 50.0,
            "status": "healthy",
            "sequence": self._sequence,
            "metrics": {"reaped": 0, "clock": time.time(), "calls": {"step": self._report()}},
        }
        self._beats.sent += 1
        start = time.perf_counter()
        try:
            await self._post("heartbeat", body)
        except GymQueueError as error:
            self._beats.failures.append(f"{self.worker_id}: {error}")
        self._beats.took_ms.append((time.perf_counter() - start) * 1000)

    async def beat_for_ever(self, delay_s: float) -> None:
        """Send heartbeats as often as the master asked, the first after a while."""
        at = time.monotonic() + delay_s
        while True:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            await self.beat()
            at += self.heartbeat_s

    def _report(self) -> list[int]:
        """Return the counts of a worker that answers ten steps between heartbeats, of which each bucket gets some."""
        self._steps += 10
        return [self._steps * 1000, 0, 5, *[self._steps // 10] * 10]

    async def _post(self, call: str, body: dict[str, object]) -> dict[str, Any]:
        if self._connection is None or not self._connection.is_open:
            self._connection = await connect(self._master_url)
        request = make_request("POST", f"/workers/{call}", token=self._token, body=json.dumps(body).encode())
        return (await self._connection.ask(request)).check().json()


def worker_id_of(number: int) -> str:
    return f"sim-{number}"


async def answer_health(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say which worker is asked, by the address it was asked at."""
    *_, high, low = writer.get_extra_info("sockname")[0].split(".")
    worker_id = worker_id_of((int(high) - 1) * 250 + int(low) - 1)
    body = json.dumps({"status": "healthy", "role": "worker", "worker_id": worker_id}).encode()
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(master_url: str) -> None:
    """Register all workers, and send heartbeats until the standard input ends."""
    beats = Beats()
    server = await asyncio.start_server(answer_health, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    workers = [SimulatedWorker(number, port, master_url, beats) for number in range(WORKERS)]
    for first in range(0, WORKERS, REGISTERING):
        await asyncio.gather(*(worker.join() for worker in workers[first : first + REGISTERING]))
    period_s = workers[0].heartbeat_s
    tasks = [
        asyncio.ensure_future(worker.beat_for_ever(period_s * number / WORKERS))
        for number, worker in enumerate(workers)
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    beats.failures += [repr(each) for each in results if not isinstance(each, asyncio.CancelledError)]
    sys.stdout.write(json.dumps(beats.summary()) + "\n")
    server.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
