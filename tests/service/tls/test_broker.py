from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gym_queue import RemoteGymEnv
from gym_queue.broker.app import make_app
from gym_queue.broker.errors import CONNECT_ONCE, broker_errors
from gym_queue.errors import BrokerUnavailable
from gym_queue.testing import Fleet, FleetSetup
from gym_queue.web.server import bind
from tests.service.tls.conftest import Certificates
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture
def rediss(certificates: Certificates, tmp_path: Path) -> Iterator[str]:
    """The URL of a Redis that serves TLS alone."""
    files, log = certificates.good, tmp_path / "log"
    tls = ["--tls-cert-file", str(files.certfile), "--tls-key-file", str(files.keyfile)]
    ca = ["--tls-ca-cert-file", str(files.ca), "--tls-auth-clients", "no"]
    where = ["--dir", str(tmp_path), "--logfile", str(log), "--save", ""]
    for _ in range(5):  # another program may take the port before Redis does, which then ends
        with bind("127.0.0.1", 0) as bound:
            port = bound.getsockname()[1]
        ports = ["--port", "0", "--tls-port", str(port)]
        with subprocess.Popen(["redis-server", *where, *ports, *tls, *ca]) as process:
            try:
                wait_until(lambda: process.poll() is not None or is_ready(log))
                if process.poll() is None:
                    yield f"rediss://127.0.0.1:{port}/0"
                    return
            finally:
                process.terminate()
    pytest.fail(f"Redis did not start: {log.read_text()[-1000:]}")


def is_ready(log: Path) -> bool:
    return log.exists() and "Ready to accept" in log.read_text()


def connect(url: str, ca: Path | None) -> None:
    app = make_app(url, name="test", ca=ca)
    with broker_errors(app), app.connection_for_write() as connection:
        connection.ensure_connection(**CONNECT_ONCE)
        connection.SimpleQueue("q").close()


def test_a_broker_of_the_private_ca_is_believed(rediss: str, certificates: Certificates) -> None:
    connect(rediss, certificates.good.ca)


def test_a_url_may_name_its_own_ca(rediss: str, certificates: Certificates) -> None:
    connect(f"{rediss}?ssl_cert_reqs=required&ssl_ca_certs={certificates.good.ca}", certificates.strange.ca)


@pytest.mark.parametrize("ca", ["another", None])
def test_a_broker_that_no_trusted_ca_vouches_for_is_refused(
    rediss: str, certificates: Certificates, ca: str | None
) -> None:
    with pytest.raises(BrokerUnavailable, match="no CA trusted here"):
        connect(rediss, certificates.strange.ca if ca else None)


def test_a_fleet_sends_its_creates_over_a_tls_broker(rediss: str, certificates: Certificates) -> None:
    ca = ["--ssl-ca", str(certificates.good.ca)]
    setup = FleetSetup(
        workers=1,
        master_arguments=["--broker-url", rediss, *ca],
        worker_arguments=ca,
        variables={"GYM_ANYTHING_TOKEN": "t"},
    )
    with Fleet(setup) as fleet:
        with RemoteGymEnv.from_config(
            fleet.url, "terminal_env", "largest_file", token="t", timeout=30
        ) as env:
            assert "cli_stdout" in env.reset()
        assert "task gym_queue.create_env" in fleet.log_text()
