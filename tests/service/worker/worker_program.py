"""A whole worker: ``python -m tests.service.worker.worker_program SETTINGS_JSON``; says its URL, or why it can't start."""

from __future__ import annotations

import json
import sys

from gym_queue.errors import GymQueueError
from gym_queue.log import configure_logging
from gym_queue.settings import WorkerSettings
from gym_queue.worker.run import run_worker


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    configure_logging("INFO")
    fields = json.loads(sys.argv[1])
    token = fields.pop("token", None)
    try:
        run_worker(WorkerSettings(**fields), token, on_ready=say)
    except GymQueueError as error:
        say(f"{error.code}: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
