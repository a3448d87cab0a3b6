"""Named client tokens: what each allows, the file that holds them, and who bears which token."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, ValidationError

from gym_queue.errors import Conflict, NotFound, StartupFailed
from gym_queue.protocol.sessions import Message

logger = logging.getLogger(__name__)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
TOKEN_PREFIX = "gat_"  # noqa: S105  tells secret scanners what they found
TOKEN_BYTES = 32
HIGHEST_PRIORITY = 9


class Grant(Message):
    """What one named token allows; the token itself is nowhere."""

    name: str = Field(pattern=NAME_PATTERN)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    """SHA-256 of the token."""
    max_envs: int | None = Field(None, ge=1, le=1_000_000)
    """Environments at once, those that wait included; None is no limit."""
    priority_max: int = Field(HIGHEST_PRIORITY, ge=0, le=HIGHEST_PRIORITY)
    created_at: float
    """Unix seconds."""
    expires_at: float | None = None
    """Unix seconds; None is never."""

    def has_expired(self, now: float) -> bool:
        """Return whether it opens nothing any more, ``now`` in Unix seconds."""
        return self.expires_at is not None and now >= self.expires_at


class _Stored(Message):
    tokens: tuple[Grant, ...] = ()


def digest_of_token(token: str) -> str:
    """Return the hash a token is stored and found by.

    One round of SHA-256 is right for it: a slow hash protects what people choose, of few bits; these are 256 random
    bits, which no guessing reaches, and every forwarded call of a named client is looked up by it.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class TokenFile:
    """The named tokens of one user's masters, in a JSON file (0600) that is replaced whole.

    Args:
        path: The file.
        wall: Unix seconds.
    """

    def __init__(self, path: Path, *, wall: Callable[[], float] = time.time) -> None:
        self.path = path
        self._wall = wall

    def grants(self) -> tuple[Grant, ...]:
        """Return what is in the file; nothing when there is none.

        Raises:
            StartupFailed: It cannot be read, others may write to it, or it holds something else.
        """
        try:
            if self.path.stat().st_mode & 0o022:
                raise StartupFailed(
                    f"the tokens' file {self.path} can be written by other users: run `chmod 600 {self.path}`"
                )
            return _Stored.model_validate_json(self.path.read_bytes()).tokens
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StartupFailed(
                f"the tokens' file {self.path} cannot be read: {error.strerror}; mend it"
            ) from error
        except ValidationError as error:
            raise StartupFailed(
                f"the tokens' file {self.path} is damaged: {error.error_count()} values are wrong; mend or delete it"
            ) from error

    def create(
        self,
        name: str,
        *,
        max_envs: int | None = None,
        priority_max: int = HIGHEST_PRIORITY,
        lasts_s: float | None = None,
    ) -> str:
        """Make a token and return it: it is stored as its hash alone, so nobody can show it again.

        Args:
            name: Whose it is; must be valid by ``NAME_PATTERN``.
            max_envs: Environments at once; None is no limit.
            priority_max: Highest priority of its creates, 0 to 9.
            lasts_s: Seconds until it expires; None is never.

        Raises:
            Conflict: There is a token of this name that has not expired.
            StartupFailed: The file cannot be read or written.
        """
        token, now = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES), self._wall()
        grant = Grant(
            name=name,
            digest=digest_of_token(token),
            max_envs=max_envs,
            priority_max=priority_max,
            created_at=now,
            expires_at=None if lasts_s is None else now + lasts_s,
        )
        with self._locked():
            kept = {known.name: known for known in self.grants()}
            if name in kept and not kept[name].has_expired(now):
                raise Conflict(f"there is a token named {name}: revoke it first, or choose another name")
            self._write((*(known for known in kept.values() if known.name != name), grant))
        return token

    def revoke(self, name: str) -> None:
        """Take a token's power away; its environments stay its name's until they end.

        Raises:
            NotFound: There is no token of this name.
            StartupFailed: The file cannot be read or written.
        """
        with self._locked():
            grants = self.grants()
            if name not in {grant.name for grant in grants}:
                raise NotFound(
                    f"there is no token named {name}: `gym-anything token list` shows those there are"
                )
            self._write(tuple(grant for grant in grants if grant.name != name))

    def _write(self, grants: tuple[Grant, ...]) -> None:
        staged = self.path.with_name(f".{self.path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(_Stored(tokens=grants).model_dump_json(indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            staged.replace(self.path)
        except OSError as error:
            staged.unlink(missing_ok=True)
            raise self._unwritable(error) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other programs from changing the file meanwhile."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _unwritable(self, error: OSError) -> StartupFailed:
        return StartupFailed(
            f"the tokens' file {self.path} cannot be written: {error.strerror}; set GYM_ANYTHING_TOKENS_FILE"
        )


class NamedTokens:
    """The grants of a file as it was when last looked at, by hash.

    Args:
        file: The file; None is no named token at all.

    Raises:
        StartupFailed: It cannot be read.
    """

    def __init__(self, file: TokenFile | None) -> None:
        self._file = file
        self._mark = self._look()
        self._grants: Mapping[str, Grant] = {} if file is None else _by_digest(file.grants())

    def find(self, token: str) -> Grant | None:
        """Return what a token allows; it may have expired.

        The table is searched by hash, of which no caller can choose a part: the time it takes tells nothing.
        """
        return self._grants.get(digest_of_token(token)) if self._grants else None

    def refresh(self) -> None:
        """Read the file if it has changed; one that cannot be read leaves all as it was. May block."""
        mark = self._look()
        if self._file is None or mark == self._mark:
            return
        self._mark = mark
        try:
            self._grants = _by_digest(self._file.grants())
        except StartupFailed as error:
            logger.error("the named tokens stay what they were: %s", error)
            return
        logger.info("there are %d named tokens now", len(self._grants))

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._file and self._file.path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_ino, found.st_size) if found else None


def _by_digest(grants: tuple[Grant, ...]) -> dict[str, Grant]:
    return {grant.digest: grant for grant in grants}
