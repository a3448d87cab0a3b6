from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from gym_queue.tls import TlsFiles

NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Certificates:
    """What a CA has made; and another CA, which nobody here trusts."""

    good: TlsFiles
    expired: TlsFiles
    misnamed: TlsFiles
    strange: TlsFiles
    """Made by the other CA, and trusting it."""

    @property
    def ca(self) -> TlsFiles:
        """The CA alone."""
        return TlsFiles(ca=self.good.ca)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ours, others = trustme.CA(), trustme.CA()
    past = datetime.now(UTC) - timedelta(days=1)
    return Certificates(
        good=_write(folder / "good", ours, ours.issue_cert(*NAMES)),
        expired=_write(
            folder / "expired",
            ours,
            ours.issue_cert(*NAMES, not_before=past - timedelta(days=1), not_after=past),
        ),
        misnamed=_write(folder / "misnamed", ours, ours.issue_cert("elsewhere.example")),
        strange=_write(folder / "strange", others, others.issue_cert(*NAMES)),
    )


def _write(folder: Path, ca: trustme.CA, certificate: trustme.LeafCert) -> TlsFiles:
    folder.mkdir()
    files = TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    return files


def flags_of(files: TlsFiles) -> list[str]:
    """Return the flags that name the files."""
    given = {"--ssl-certfile": files.certfile, "--ssl-keyfile": files.keyfile, "--ssl-ca": files.ca}
    return [word for flag, path in given.items() if path is not None for word in (flag, str(path))]
