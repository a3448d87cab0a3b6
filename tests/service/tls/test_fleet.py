"""Whole fleets over TLS: real programs, and mutual TLS between them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gym_queue import RemoteGymEnv
from gym_queue.client.route import RouteMode
from gym_queue.errors import StartupFailed, TlsFailed
from gym_queue.testing import Fleet, FleetSetup
from gym_queue.tls import client_context
from tests.service.tls.conftest import Certificates, flags_of

TOKEN = "a-token-of-tests"
ENV, TASK = "terminal_env", "largest_file"


@pytest.fixture(scope="module")
def fleet(certificates: Certificates) -> Iterator[Fleet]:
    """A master and a worker, each with a certificate and the CA: mutual TLS."""
    flags = flags_of(certificates.good)
    setup = FleetSetup(
        workers=1,
        master_arguments=flags,
        worker_arguments=flags,
        variables={"GYM_ANYTHING_TOKEN": TOKEN},
    )
    with Fleet(setup) as started:
        yield started
        assert "Traceback" not in started.log_text()


def play(fleet: Fleet, ca: Path | None, *, route: RouteMode = "master") -> dict[str, object]:
    with RemoteGymEnv.from_config(
        fleet.url, ENV, TASK, token=TOKEN, ssl_ca=ca, timeout=30, route=route
    ) as env:
        env.reset()
        return env.step([{"keyboard": {"text": "ls"}}])[0]


def test_a_client_s_steps_go_over_tls_through_the_master_to_the_worker(
    fleet: Fleet, certificates: Certificates
) -> None:
    assert fleet.url.startswith("https://")
    assert fleet.worker_urls[0].startswith("https://")
    assert "cli_stdout" in play(fleet, certificates.good.ca)


def test_a_client_that_does_not_know_the_ca_creates_nothing(fleet: Fleet) -> None:
    with pytest.raises(TlsFailed, match="no CA trusted here"):
        play(fleet, None)


def test_a_worker_s_own_address_is_for_holders_of_a_certificate(
    fleet: Fleet, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TlsFailed, match="serves those alone who have a certificate"):
        play(fleet, certificates.good.ca, route="worker")
    monkeypatch.setenv("GYM_ANYTHING_SSL_CERTFILE", str(certificates.good.certfile))
    monkeypatch.setenv("GYM_ANYTHING_SSL_KEYFILE", str(certificates.good.keyfile))
    assert "cli_stdout" in play(fleet, certificates.good.ca, route="worker")


def test_nobody_registers_a_worker_without_a_certificate(fleet: Fleet, certificates: Certificates) -> None:
    reply = httpx.post(
        f"{fleet.url}/workers/register",
        json={"worker_id": "w", "url": "https://127.0.0.1:1"},
        headers={"Authorization": f"Bearer {TOKEN}"},
        verify=client_context(certificates.ca),
    )
    assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
    assert reply.headers["X-Request-ID"] == reply.json()["request_id"]


def test_a_worker_without_a_certificate_is_told_to_have_one(fleet: Fleet, certificates: Certificates) -> None:
    said = _run("worker", "--master-url", fleet.url, "--port", "0", "--ssl-ca", str(certificates.good.ca))
    assert said.startswith("error: ")
    assert "--ssl-certfile" in said


@pytest.mark.parametrize("program", ["master", "worker"])
def test_a_key_of_another_certificate_ends_a_program_with_one_sentence(
    program: str, certificates: Certificates
) -> None:
    files = [f"--ssl-certfile={certificates.good.certfile}", f"--ssl-keyfile={certificates.strange.keyfile}"]
    assert "is not that of the certificate" in _run(program, "--port", "0", *files)


def test_up_makes_a_ca_and_starts_everything_over_https(tmp_path: Path) -> None:
    variables = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "GYM_ANYTHING_TOKEN": TOKEN}
    command = [sys.executable, "-m", "gym_queue.cli.main", "up", "--tls", "--workers", "1", "--port", "0"]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            said = ""
            while "Ctrl-C" not in said and (line := program.stdout.readline()):
                said += line
            url = next(word for word in said.split() if word.startswith("https://")).rstrip(",")
            ca = tmp_path / "gym-anything" / "tls" / "ca.pem"
            assert f"export GYM_ANYTHING_SSL_CA={ca}" in said
            with RemoteGymEnv.from_config(url, ENV, TASK, token=TOKEN, ssl_ca=ca, timeout=30) as env:
                assert "cli_stdout" in env.reset()
        finally:
            program.send_signal(signal.SIGINT)
            program.stdout.read()
    assert program.returncode == 0


def test_a_master_without_tls_refuses_a_key_alone(certificates: Certificates) -> None:
    setup = FleetSetup(workers=0, master_arguments=["--ssl-keyfile", str(certificates.good.keyfile)])
    with pytest.raises(StartupFailed, match="--ssl-certfile"), Fleet(setup):
        pass


def _run(program: str, *arguments: str) -> str:
    """Return the one line that a program ends with."""
    ended = subprocess.run(
        [sys.executable, "-m", f"gym_queue.cli.{program}", *arguments],
        env={**os.environ, "GYM_ANYTHING_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr.splitlines()[-1]
