"""A private CA for trying TLS out on one machine, and the certificate of that machine."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from gym_queue.errors import StartupFailed
from gym_queue.tls import TlsFiles

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

CA_DAYS = 365
CERTIFICATE_DAYS = 90
CA_RENEW_DAYS = CERTIFICATE_DAYS
"""A CA with less left is made anew: no certificate outlives its CA."""
LEEWAY = timedelta(hours=1)
"""Before now: the other side's clock may be late."""


def make_private_certificate(folder: Path, host: str, *, now: datetime | None = None) -> TlsFiles:
    """Make a certificate of this machine, by the folder's CA, which is made first where there is none.

    Args:
        folder: Holds ``ca.pem``, ``ca.key`` and ``server.pem``, the certificate with its key; all but the first are
            for the user alone.
        host: Address that is listened on; certified beside localhost and this machine's name.
        now: When the certificate begins; None is now.

    Raises:
        StartupFailed: The folder cannot be used, or the package ``cryptography`` is not installed.
    """
    now = now or datetime.now(UTC)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        ca = _load_ca(folder, now) or _make_ca(folder, now)
        _write(folder / "server.pem", _certify(ca, _names(host), now), mode=0o600)
    except ImportError as error:
        raise StartupFailed(
            "--tls needs the package cryptography: run `pip install 'gym-queue[tls]'`"
        ) from error
    except (OSError, ValueError) as error:
        raise StartupFailed(
            f"the folder {folder} of the private CA cannot be used: {error}; mend or delete it"
        ) from error
    return TlsFiles(certfile=folder / "server.pem", ca=folder / "ca.pem")


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


def _load_ca(folder: Path, now: datetime) -> _Authority | None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    except FileNotFoundError:
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    if certificate.not_valid_after_utc < now + timedelta(days=CA_RENEW_DAYS):
        return None
    return _Authority(certificate, key)


def _make_ca(folder: Path, now: datetime) -> _Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _called(f"Gym Queue try-out CA {secrets.token_hex(4)}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - LEEWAY)
        .not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder / "ca.key", _key_pem(key), mode=0o600)
    _write(folder / "ca.pem", _pem(certificate), mode=0o644)
    return _Authority(certificate, key)


def _certify(ca: _Authority, names: Iterable[x509.GeneralName], now: datetime) -> bytes:
    """Return a certificate for servers and for those who call them, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_called("gym-queue"))
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - LEEWAY)
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    return _pem(certificate) + _key_pem(key)


def _names(host: str) -> list[x509.GeneralName]:
    from cryptography import x509

    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(("localhost", "127.0.0.1", "::1", socket.gethostname(), host)):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:  # not an address: a name
            found.append(x509.DNSName(name))
    return found


def _called(name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    """Return what a key is for: certificates, or handshakes."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file at once, so that whoever reads it meanwhile finds the old one or the new one."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    staged.replace(path)
