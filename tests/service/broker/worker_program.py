"""A Celery worker with tasks to send to: ``python -m tests.service.broker.worker_program URL QUEUE``."""

from __future__ import annotations

import sys
from typing import Any

from celery.signals import worker_ready

from gym_queue.broker.app import make_app


def main(url: str, queue: str) -> None:
    app = make_app(url, name="test-worker")

    @app.task(name="test.echo")
    def echo(*, value: object) -> object:
        return value

    @app.task(name="test.fail")
    def fail(*, reason: str) -> None:
        raise ValueError(reason)

    def say_ready(**_: Any) -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    worker_ready.connect(say_ready)
    worker = app.Worker(pool="threads", concurrency=2, queues=[queue], quiet=True, loglevel="WARNING")
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
