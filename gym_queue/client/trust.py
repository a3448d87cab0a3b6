"""What a client verifies https servers by."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

from gym_queue.settings import ClientSettings
from gym_queue.tls import TlsFiles, client_context


class Trust:
    """The CA of https servers, and the certificate to show them; read when first needed, and then kept.

    Args:
        ca: PEM file of a private CA; None takes ``GYM_ANYTHING_SSL_CA``, else what the system trusts.
    """

    def __init__(self, ca: str | Path | None = None) -> None:
        self._ca = ca
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return it; may block, for it reads files.

        Raises:
            StartupFailed: A file is missing or cannot be used.
        """
        if self._context is None:
            self._context = client_context(self.files())
        return self._context

    def files(self) -> TlsFiles:
        """Return the files that it comes from."""
        files = ClientSettings().tls
        return replace(files, ca=Path(self._ca)) if self._ca else files
