"""Where a master keeps what must outlive it: a hash on its Redis, or a file where the broker is none."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import celery
from kombu import Connection

from gym_queue.broker.errors import CONNECT_ONCE, broker_errors
from gym_queue.errors import Infrastructure

KEY = "gym_queue.state"


class Store(Protocol):
    """Keeps texts by name. Every call may block: none belongs on an event loop."""

    def load(self) -> dict[str, str]:
        """Return everything.

        Raises:
            Infrastructure: The store cannot be read.
        """

    def save(self, changes: Mapping[str, str | None], *, replace: bool = False) -> None:
        """Change these at once; None removes one.

        Args:
            changes: Texts by name.
            replace: Remove everything else.

        Raises:
            Infrastructure: The store cannot be written.
        """

    def close(self) -> None:
        """Let go of the store."""


class RedisStore:
    """One hash on the broker's Redis. For one thread at a time.

    Args:
        app: Whose broker, a Redis of any of kombu's kinds.
        name: Tells masters that share it apart.
    """

    def __init__(self, app: celery.Celery, name: str) -> None:
        self._app = app
        self._key = f"{KEY}.{name}"
        self._connection: Connection | None = None

    def load(self) -> dict[str, str]:
        """Return everything; see Store."""
        with self._client() as client:
            raw: dict[bytes | str, bytes | str] = client.hgetall(self._key)
        return {_text(name): _text(value) for name, value in raw.items()}

    def save(self, changes: Mapping[str, str | None], *, replace: bool = False) -> None:
        """Change these at once; see Store."""
        kept = {name: text for name, text in changes.items() if text is not None}
        gone = [name for name, text in changes.items() if text is None]
        with self._client() as client, client.pipeline(transaction=True) as pipe:
            if replace:
                pipe.delete(self._key)
            elif gone:
                pipe.hdel(self._key, *gone)
            if kept:
                pipe.hset(self._key, mapping=kept)
            pipe.execute()

    def close(self) -> None:
        """Let the connection go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()

    @contextmanager
    def _client(self) -> Iterator[Any]:
        with broker_errors(self._app):
            try:
                if self._connection is None:
                    self._connection = self._app.connection_for_write()
                    self._connection.ensure_connection(**CONNECT_ONCE)
                channel: Any = self._connection.default_channel
                yield channel.client
            except BaseException:
                with suppress(Exception):  # it may be the very connection that is broken
                    self.close()
                self._connection = None
                raise


class FileStore:
    """A SQLite file that its owner alone can read. For one thread at a time.

    Args:
        path: The file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None

    def load(self) -> dict[str, str]:
        """Return everything; see Store."""
        with self._transaction() as database:
            return dict(database.execute("SELECT name, text FROM facts"))

    def save(self, changes: Mapping[str, str | None], *, replace: bool = False) -> None:
        """Change these at once; see Store."""
        with self._transaction() as database:
            if replace:
                database.execute("DELETE FROM facts")
            database.executemany(
                "DELETE FROM facts WHERE name = ?",
                [(name,) for name, text in changes.items() if text is None],
            )
            database.executemany(
                "INSERT OR REPLACE INTO facts VALUES (?, ?)",
                [(name, text) for name, text in changes.items() if text is not None],
            )

    def close(self) -> None:
        """Let the file go."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._database is None:
                self._database = self._open()
            with self._database:
                yield self._database
        except (sqlite3.Error, OSError) as error:
            raise Infrastructure(
                f"the state file {self._path} cannot be used: {error}; mend or delete it, or give another --state-dir"
            ) from error

    def _open(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        database = sqlite3.connect(self._path, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(
            "PRAGMA synchronous = NORMAL"
        )  # outlives a killed master; a power cut may cost moments
        database.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID")
        return database


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
