"""Mirrors the facts a master owns into a store, behind its back, and reads them back at a start."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict

from gym_queue.broker.store import Store
from gym_queue.errors import BrokerUnavailable, Infrastructure

logger = logging.getLogger(__name__)

PAUSE_S = 1.0
"""Between tries while the store is away."""
STOP_TIMEOUT_S = 3.0
"""Longest the last facts may take at the end."""

Facts = dict[str, dict[str, str]]
"""Kind → key → JSON."""


class Journal:
    """Writes notes from a thread of its own: no call waits for the store, and an outage loses nothing but time.

    What changed since the last write is kept by name, so an outage of any length costs no more memory than the
    facts themselves.

    Args:
        store: Where to.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._changes: dict[str, str | None] = {}
        self._wake = threading.Event()
        self._all_written = threading.Event()
        self._all_written.set()
        self._stopping = threading.Event()
        self._replace = False
        self.is_unread = False
        """Whether an earlier run may have written down what ``load`` could not read."""
        self._is_away = False
        self._thread: threading.Thread | None = None

    def load(self, *, fresh: bool = False) -> Facts:
        """Return what an earlier run wrote down. Blocks; for before ``start``.

        Args:
            fresh: Return nothing, and forget it.
        """
        facts: Facts = defaultdict(dict)
        self._replace = fresh
        if fresh:
            return facts
        try:
            raw = self._store.load()
        except Infrastructure as error:
            logger.warning("starting without what an earlier run may have written down: %s", error)
            self.is_unread = True
            self._replace = not isinstance(
                error, BrokerUnavailable
            )  # one that is away has it still: add to it
            return facts
        for name, text in raw.items():
            kind, _, key = name.partition(":")
            facts[kind][key] = text
        return facts

    def note(self, kind: str, key: str, fact: str | None) -> None:
        """Write down a fact, soon; see Notes."""
        with self._lock:
            self._changes[f"{kind}:{key}"] = fact
            self._all_written.clear()
        self._wake.set()

    def wait_written(self, timeout_s: float) -> bool:
        """Wait until everything noted is written; False when that took too long. Not for the event loop."""
        return self._all_written.wait(timeout_s)

    def start(self) -> None:
        """Write from now on."""
        if self._replace:
            self._wake.set()
        self._thread = threading.Thread(target=self._run, name="gym-queue-journal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end; a store that hangs is left behind."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)
            if self._thread.is_alive():
                logger.warning("the last facts could not be written down in %g s", STOP_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            is_last = self._stopping.is_set()
            while not self._write() and not is_last:
                self._stopping.wait(PAUSE_S)
                is_last = self._stopping.is_set()
            if is_last:
                self._store.close()
                return

    def _write(self) -> bool:
        """Write what has changed; return whether nothing is left to be tried again."""
        with self._lock:
            changes, self._changes = self._changes, {}
        if not changes and not self._replace:
            return True
        try:
            self._store.save(changes, replace=self._replace)
        except Infrastructure as error:
            self._keep(changes, f"facts are not written down until the store is back: {error}")
            return False
        except Exception:
            logger.exception("facts could not be written down, which is a bug; they are tried again")
            self._keep(changes, "facts are not written down")
            return False
        self._replace = False
        with self._lock:
            if not self._changes:
                self._all_written.set()
        if self._is_away:
            logger.info("facts are written down again")
        self._is_away = False
        return True

    def _keep(self, changes: dict[str, str | None], why: str) -> None:
        """Keep what could not be written, unless it has changed again."""
        with self._lock:
            self._changes = {**changes, **self._changes}
        if not self._is_away:
            logger.warning("%s", why)
        self._is_away = True
