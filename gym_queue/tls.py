"""TLS: certificates of servers and of those who call them, and why a handshake failed, in words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from gym_queue.errors import StartupFailed

PROBE_TIMEOUT_S = 2.0
EXPIRED, NOT_YET_VALID = 10, 9
OTHER_NAME = frozenset({62, 64})
"""Codes of OpenSSL's X509_verify_cert_error_string, as are the two above."""
NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"}
)
ALERTS = {
    "CERTIFICATE_REQUIRED": "it serves those alone who have a certificate of its CA: give yours with GYM_ANYTHING_SSL_CERTFILE, or go through the master",
    "HANDSHAKE_FAILURE": "it refuses the handshake, most likely for want of a certificate of its CA: give yours with --ssl-certfile",
    "UNKNOWN_CA": "its CA did not make our certificate: give one that it made with --ssl-certfile",
    "CERTIFICATE_UNKNOWN": "it does not accept our certificate: give one that its CA made with --ssl-certfile",
    "CERTIFICATE_EXPIRED": "our certificate has expired: renew the file of --ssl-certfile",
}
"""What the other side's refusals mean, by the end of OpenSSL's name for them."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files of one program."""

    certfile: Path | None = None
    """Its certificate, and those between it and its CA; None serves plain HTTP."""
    keyfile: Path | None = None
    """Its key; None is in ``certfile`` too."""
    ca: Path | None = None
    """CAs that must have made others' certificates; None is those that the system trusts."""

    @property
    def scheme(self) -> str:
        """Of the URL a program with these is served at."""
        return "http" if self.certfile is None else "https"

    @property
    def is_mutual(self) -> bool:
        """Whether others can be asked for a certificate: there is one to show them, and a CA to know theirs by."""
        return self.certfile is not None and self.ca is not None


def server_context(files: TlsFiles, *, asks: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext | None:
    """Return how to serve TLS; None serves plain HTTP.

    Args:
        files: Of the program.
        asks: Whether callers must, or may, show a certificate; of no effect unless ``files.is_mutual``.

    Raises:
        StartupFailed: A file is missing or cannot be used.
    """
    if files.certfile is None:
        if files.keyfile is not None:
            raise StartupFailed(f"the key {files.keyfile} has no certificate: give it with --ssl-certfile")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, files.certfile, files.keyfile)
    if files.ca is not None and asks is not ssl.CERT_NONE:
        _load_ca(context, files.ca)
        context.verify_mode = asks
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Return how to verify https servers, with the certificate to show them.

    Raises:
        StartupFailed: A file is missing or cannot be used.
    """
    if files.ca is None:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load_ca(context, files.ca)
    if files.certfile is not None:
        load_certificate(context, files.certfile, files.keyfile)
    return context


def verify_of(files: TlsFiles) -> ssl.SSLContext | Literal[True]:
    """Return what httpx and asyncio take: a ``client_context``, or True where there is nothing to load."""
    return True if files.ca is None and files.certfile is None else client_context(files)


def load_certificate(context: ssl.SSLContext, certfile: Path, keyfile: Path | None) -> None:
    """Let a context show a certificate from now on, in place of the one it had.

    Args:
        context: Of servers or callers; one that fails here may be left with no certificate.
        certfile: The certificate.
        keyfile: Its key; None is in ``certfile`` too.

    Raises:
        StartupFailed: A file is missing or cannot be used.
    """
    _check_readable("certificate", certfile, "--ssl-certfile")
    key = keyfile or certfile
    _check_readable("key", key, "--ssl-keyfile")

    def no_password() -> NoReturn:
        raise StartupFailed(f"the key {key} is encrypted: give one without a password with --ssl-keyfile")

    try:
        context.load_cert_chain(certfile, key, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartupFailed(
                f"the key {key} is not that of the certificate {certfile}: give the two that were made together"
            ) from error
        raise StartupFailed(
            f"the certificate {certfile} and its key {key} cannot be used ({error.reason or 'not PEM'}): give PEM files with --ssl-certfile and --ssl-keyfile"
        ) from error


def explain(error: BaseException) -> str | None:
    """Return what is wrong with the two sides' TLS and what to do; None when the error says nothing of that."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _explain_certificate(cause)
        if isinstance(cause, ssl.SSLError):
            reason = cause.reason or ""
            if reason in NOT_TLS:
                return "it does not speak TLS: write http:// in its URL, or give it a certificate with --ssl-certfile"
            for alert, meaning in ALERTS.items():
                if reason.endswith(f"ALERT_{alert}"):
                    return meaning
    return None


def why_hung_up(host: str, port: int, files: TlsFiles, *, secure: bool) -> str | None:
    """Ask a server that hung up on a new connection without a word whether TLS was the reason; may block for 4 s.

    A server cannot answer plain HTTP over TLS, and under TLS 1.3 it refuses a caller only after the handshake; under
    TLS 1.2 it does so during it.

    Args:
        host, port: The server's.
        files: With the certificate that it was shown.
        secure: Whether it was spoken to over TLS.

    Returns:
        What is wrong and what to do; None when it is not TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent, nothing is believed
    if not _shakes_hands(host, port, context):
        return None
    if not secure:
        return f"it serves https alone: write https://{host}:{port}"
    if files.certfile is not None:
        load_certificate(context, files.certfile, files.keyfile)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    if _shakes_hands(host, port, context):
        return None
    return ALERTS["CERTIFICATE_REQUIRED" if files.certfile is None else "CERTIFICATE_UNKNOWN"]


def _shakes_hands(host: str, port: int, context: ssl.SSLContext) -> bool:
    try:
        with (
            socket.create_connection((host, port), PROBE_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except (OSError, ValueError):
        return False


def _explain_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == EXPIRED:
        return "its certificate has expired: renew the file of its --ssl-certfile"
    if error.verify_code == NOT_YET_VALID:
        return "its certificate is not valid yet: set the clocks of both machines"
    if error.verify_code in OTHER_NAME:
        why = error.verify_message.rstrip(".")
        return f"its certificate is for another name ({why}): use a name that it holds, or renew it with this one"
    return f"its certificate is of no CA trusted here ({error.verify_message}): give that CA's file with --ssl-ca, in clients with GYM_ANYTHING_SSL_CA"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _load_ca(context: ssl.SSLContext, ca: Path) -> None:
    _check_readable("CA file", ca, "--ssl-ca or GYM_ANYTHING_SSL_CA")
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise StartupFailed(
            f"the CA file {ca} holds no certificate ({error.reason}): give a PEM file with --ssl-ca or GYM_ANYTHING_SSL_CA"
        ) from error


def _check_readable(what: str, path: Path, flag: str) -> None:
    """See that a file can be read: OpenSSL does not say which of its files cannot."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise StartupFailed(
            f"the {what} {path} cannot be read: {error.strerror}; make it readable for this user, or give another with {flag}"
        ) from error
