"""A program's certificate as its files say it, which may change while it runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from gym_queue.errors import StartupFailed
from gym_queue.tls import TlsFiles, load_certificate, server_context

logger = logging.getLogger(__name__)

FOLLOW_S = 1.0
"""How often the files are looked at."""
Mark = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Pems:
    """A certificate and its key, as they were read."""

    certificate: bytes
    key: bytes | None
    """None is in ``certificate`` too."""


class RenewedCertificate:
    """Loads a certificate and its key anew once their files have changed; handshakes from then on show it.

    Args:
        files: As the contexts were made of.
        contexts: Those in use; what is none is passed over.
    """

    def __init__(self, files: TlsFiles, contexts: Iterable[ssl.SSLContext | Literal[True] | None]) -> None:
        self._files = files
        self._contexts = [each for each in contexts if isinstance(each, ssl.SSLContext)]
        self._mark = self._look()
        self._found: Pems | None = None

    async def follow(self) -> None:
        """Look for changes for ever, and load them; without a certificate there is nothing to do."""
        while self._files.certfile is not None:
            await asyncio.sleep(FOLLOW_S)
            try:
                if await asyncio.to_thread(self.has_changed):
                    self.load()
            except Exception:
                logger.exception(
                    "the certificate could not be looked at, which is a bug; the next look comes all the same"
                )

    def has_changed(self) -> bool:
        """Return whether there are other files than at the last look, and they can be used. May block."""
        mark = self._look()
        if mark is None or mark == self._mark:
            return False
        self._mark = mark
        try:
            server_context(self._files)  # one in use would lose its old certificate by a new one that fails
        except StartupFailed as error:
            logger.warning("the certificate stays what it was: %s", error)
            return False
        self._found = self._read()
        return self._found is not None

    def load(self) -> None:
        """Take the files' certificate; on the thread that shakes hands, which a context bears no change beside."""
        if self._found is None:
            return
        try:
            with _as_files(self._found) as (certfile, keyfile):
                for context in self._contexts:
                    load_certificate(context, certfile, keyfile)
        except OSError as error:
            self._look_again(error)
            return
        self._found = None
        logger.info("the certificate %s has changed: new connections get the new one", self._files.certfile)

    def _read(self) -> Pems | None:
        """Return what the files hold, which can be used; None when they change just now, and are to be read again."""
        certfile, keyfile = self._files.certfile, self._files.keyfile
        try:
            if certfile is not None:
                found = Pems(certfile.read_bytes(), None if keyfile is None else keyfile.read_bytes())
                with _as_files(found) as copies:
                    server_context(TlsFiles(*copies))
                return found
        except (OSError, StartupFailed) as error:
            self._look_again(error)
        return None

    def _look_again(self, error: Exception) -> None:
        logger.warning("the certificate changed while it was read, or could not be copied: %s", error)
        self._mark = None

    def _look(self) -> Mark | None:
        paths = [path for path in (self._files.certfile, self._files.keyfile) if path is not None]
        try:
            found = [path.stat() for path in paths]
        except OSError:
            return None
        return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)


@contextmanager
def _as_files(pems: Pems) -> Iterator[tuple[Path, Path | None]]:
    """Return files of this user alone, gone afterwards, for OpenSSL: nobody changes them while it reads."""
    with TemporaryDirectory(prefix="gym-queue-tls-") as folder:  # 0700
        certfile, keyfile = Path(folder, "cert.pem"), Path(folder, "key.pem")
        certfile.write_bytes(pems.certificate)
        if pems.key is not None:
            keyfile.write_bytes(pems.key)
        yield certfile, None if pems.key is None else keyfile
