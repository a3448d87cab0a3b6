from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gym_queue.errors import StartupFailed
from gym_queue.tls import TlsFiles, client_context, server_context, verify_of
from tests.service.tls.conftest import Certificates


def test_without_files_nothing_is_loaded() -> None:
    assert server_context(TlsFiles()) is None
    assert verify_of(TlsFiles()) is True


def test_a_key_may_stand_in_the_certificate_s_file(certificates: Certificates, tmp_path: Path) -> None:
    good = certificates.good
    assert good.certfile is not None
    assert good.keyfile is not None
    both = tmp_path / "both.pem"
    both.write_bytes(good.certfile.read_bytes() + good.keyfile.read_bytes())
    assert server_context(TlsFiles(certfile=both)) is not None


def test_callers_are_asked_for_a_certificate_only_where_a_ca_could_tell_it(
    certificates: Certificates,
) -> None:
    asked = server_context(certificates.good, asks=ssl.CERT_REQUIRED)
    unasked = server_context(replace(certificates.good, ca=None), asks=ssl.CERT_REQUIRED)
    assert asked is not None
    assert unasked is not None
    assert (asked.verify_mode, unasked.verify_mode) == (ssl.CERT_REQUIRED, ssl.CERT_NONE)


def test_a_missing_key_is_named_with_its_flag(certificates: Certificates, tmp_path: Path) -> None:
    files = replace(certificates.good, keyfile=tmp_path / "none.pem")
    with pytest.raises(StartupFailed, match=r"none\.pem cannot be read: No such file.*--ssl-keyfile"):
        server_context(files)


def test_an_unreadable_certificate_is_named_with_its_flag(certificates: Certificates, tmp_path: Path) -> None:
    with pytest.raises(StartupFailed, match=r"certificate .* cannot be read: .*--ssl-certfile"):
        server_context(replace(certificates.good, certfile=tmp_path))


def test_a_key_of_another_certificate_is_refused(certificates: Certificates) -> None:
    files = replace(certificates.good, keyfile=certificates.strange.keyfile)
    with pytest.raises(StartupFailed, match="is not that of the certificate"):
        server_context(files)


def test_a_key_without_a_certificate_is_refused(certificates: Certificates) -> None:
    with pytest.raises(StartupFailed, match="--ssl-certfile"):
        server_context(TlsFiles(keyfile=certificates.good.keyfile))


def test_a_file_that_is_no_certificate_is_refused(certificates: Certificates, tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("not a certificate\n")
    with pytest.raises(StartupFailed, match="give PEM files"):
        server_context(replace(certificates.good, certfile=text))
    with pytest.raises(StartupFailed, match="holds no certificate"):
        client_context(TlsFiles(ca=text))


def test_a_key_with_a_password_is_refused_without_asking_for_it(
    certificates: Certificates, tmp_path: Path
) -> None:
    assert certificates.good.keyfile is not None
    key = load_pem_private_key(certificates.good.keyfile.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    with pytest.raises(StartupFailed, match="is encrypted"):
        server_context(replace(certificates.good, keyfile=locked))
