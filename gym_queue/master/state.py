"""Where a master keeps its state, so that the next one with the same settings finds it."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import celery
import platformdirs

from gym_queue.broker.store import FileStore, RedisStore, Store
from gym_queue.errors import StartupFailed
from gym_queue.master.creates import Creates
from gym_queue.master.fleet import Fleet
from gym_queue.master.journal import Facts
from gym_queue.master.routes import Routes
from gym_queue.settings import APP_NAME, MasterSettings

logger = logging.getLogger(__name__)

REDIS = ("redis:", "rediss:", "sentinel:")
OWN = "own"


@dataclass(frozen=True, slots=True)
class Place:
    """What tells this master from others, and where its files are."""

    folder: Path
    name: str
    """Names its reply queue and its state on a broker that others may share."""


def place_of(settings: MasterSettings, port: int) -> Place:
    """Return a master's place; the same for the next one with the same settings on this machine.

    Args:
        settings: All of its settings.
        port: Where it listens.
    """
    folder = settings.state_dir or Path(platformdirs.user_state_dir(APP_NAME)) / f"master-{port}"
    if settings.broker_url is None:
        return Place(folder, OWN)
    mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    return Place(folder, f"{socket.gethostname()}-{port}-{mark}")


@contextmanager
def hold(place: Place) -> Iterator[None]:
    """Keep other masters out of the state folder inside the block.

    The lock goes with its process however that ends; programs that it starts do not inherit it.

    Raises:
        StartupFailed: Another master uses the folder, or it cannot be made.
    """
    lock = _open_lock(place.folder)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartupFailed(
                f"another master uses the state folder {place.folder}: give --state-dir"
            ) from error
        yield
    finally:
        os.close(lock)


def _open_lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupFailed(
            f"the state folder {folder} cannot be made or written: {error.strerror}; give another --state-dir"
        ) from error


def is_in_folder(settings: MasterSettings) -> bool:
    """Return whether a master keeps anything in its folder: else its state is in the broker's Redis."""
    return settings.broker_url is None or not settings.broker_url.startswith(REDIS)


def store_of(place: Place, app: celery.Celery, broker_url: str, *, is_fake: bool) -> Store:
    """Return the broker's Redis, or a file in the held folder where the broker is none, or ends with its master."""
    if broker_url.startswith(REDIS) and not is_fake:
        return RedisStore(app, place.name)
    return FileStore(place.folder / "state.sqlite3")


def restore(facts: Facts, fleet: Fleet, routes: Routes, creates: Creates, *, is_unread: bool = False) -> None:
    """Go on from where an earlier master was.

    Args:
        facts: What it wrote down.
        fleet: Takes back its workers.
        routes: Takes back its environments.
        creates: Takes back what it had not answered.
        is_unread: Whether there may be facts that could not be read.
    """
    if is_unread:
        fleet.await_reports()
    workers, envs = fleet.restore(facts), routes.restore(facts)
    for route in routes.all():
        if fleet.is_silent(route.worker_id):  # the end of its worker was the last that was written down
            routes.remove(route.env_id, f"its worker {route.worker_id} is gone")
    waiting = creates.restore(facts)
    if workers or envs or waiting:
        logger.info(
            "going on with %d workers, %d environments and %d unanswered creates of an earlier run",
            *(workers, envs, waiting),
        )
