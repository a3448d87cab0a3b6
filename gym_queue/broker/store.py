"""Where a master keeps what must outlive it: a hash on its Redis, or a file where the broker is none."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import celery
from kombu import Connection

from gym_queue.broker.errors import CONNECT_ONCE, broker_errors
from gym_queue.errors import Infrastructure

logger = logging.getLogger(__name__)

KEY = "gym_queue.state"
SCHEMA = "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID"
REMEDY = "mend or delete it, or give another --state-dir"


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
        return _texts(raw.items())

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
        with self._transaction(anew=True) as database:
            return _texts(database.execute("SELECT CAST(name AS BLOB), CAST(text AS BLOB) FROM facts"))

    def save(self, changes: Mapping[str, str | None], *, replace: bool = False) -> None:
        """Change these at once; see Store."""
        with self._transaction(anew=replace) as database:
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
    def _transaction(self, *, anew: bool) -> Iterator[sqlite3.Connection]:
        """Open the file for a block; a damaged one is put aside where a new one may be begun."""
        try:
            if self._database is None:
                self._database = self._open()
            with self._database:
                yield self._database
        except (sqlite3.Error, OSError) as error:
            remedy = self._put_aside() if anew and _is_damage(error) else REMEDY
            raise Infrastructure(f"the state file {self._path} cannot be used: {error}; {remedy}") from error

    def _put_aside(self) -> str:
        """Keep a damaged file under another name; return what to say of it."""
        self.close()
        kept = f"{self._path}.unreadable-{time.time():.0f}"
        try:
            for suffix in ("-wal", "-shm", ""):  # a log that stayed would be played into the new file
                with suppress(FileNotFoundError):
                    Path(f"{self._path}{suffix}").rename(kept + suffix)
        except OSError:
            return REMEDY
        return f"it is kept as {kept}, and a new one begun"

    def _open(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        database = sqlite3.connect(self._path, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(
                "PRAGMA synchronous = NORMAL"
            )  # outlives a killed master; a power cut may cost moments
            database.execute(SCHEMA)
        except BaseException:
            database.close()
            raise
        return database


def _is_damage(error: BaseException) -> bool:
    """Return whether a file is no database of ours, and not just out of reach for now."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _texts(pairs: Iterable[tuple[bytes | str, bytes | str]]) -> dict[str, str]:
    """Return names and texts, without those that somebody else must have written."""
    found = {}
    for name, value in pairs:
        try:
            found[_text(name)] = _text(value)
        except UnicodeDecodeError as error:
            logger.warning("leaving out the entry %.80r of the state: it is no UTF-8: %s", name, error)
    return found


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
