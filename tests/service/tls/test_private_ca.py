from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gym_queue.errors import StartupFailed
from gym_queue.tls import client_context, server_context
from gym_queue.web.privateca import CA_DAYS, make_private_certificate


def test_keys_are_for_the_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    make_private_certificate(folder, "127.0.0.1")
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_certificate_holds_at_once_for_both_sides_of_a_connection(tmp_path: Path) -> None:
    files = make_private_certificate(tmp_path, "workshop.example")
    server = server_context(files, asks=ssl.CERT_REQUIRED)
    assert server is not None
    for name in ("localhost", "127.0.0.1", "workshop.example"):
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        one = client_context(files).wrap_bio(to_client, to_server, server_hostname=name)
        other = server.wrap_bio(to_server, to_client, server_side=True)
        for side in (one, other, one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        assert one.getpeercert()
        assert other.getpeercert()


def test_the_ca_stays_so_that_clients_need_not_be_told_again(tmp_path: Path) -> None:
    first = make_private_certificate(tmp_path, "127.0.0.1")
    assert first.ca is not None
    before = first.ca.read_bytes()
    make_private_certificate(tmp_path, "127.0.0.1")
    assert first.ca.read_bytes() == before


def test_a_ca_that_ends_soon_is_made_anew(tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=CA_DAYS - 1)
    files = make_private_certificate(tmp_path, "127.0.0.1", now=long_ago)
    assert files.ca is not None
    before = files.ca.read_bytes()
    make_private_certificate(tmp_path, "127.0.0.1")
    assert files.ca.read_bytes() != before


def test_a_damaged_ca_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("damaged")
    (tmp_path / "ca.key").write_text("damaged")
    with pytest.raises(StartupFailed, match=r"private CA cannot be used: .*delete it"):
        make_private_certificate(tmp_path, "127.0.0.1")
