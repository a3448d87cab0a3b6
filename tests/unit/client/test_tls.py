from __future__ import annotations

import asyncio
import ssl
import subprocess

import pytest

from gym_queue.client import AsyncRemoteGymEnv, RemoteGymEnv
from gym_queue.client.calls import Call
from gym_queue.client.retry import ONCE
from gym_queue.client.transport import Transport
from gym_queue.errors import ConnectionFailed
from tests.unit.client.conftest import Script, answer

pytestmark = pytest.mark.needs("openssl")
CREATED = answer(201, {"env_id": "e1"})
STARTED = answer(200, {"observation": {"ui_tree": {"text": "x" * 300_000}}})
CLOSED = answer(200, {"status": "closed"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    files = ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *names]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    script = Script(context)
    yield script
    script.stop()


@pytest.fixture
def trusted(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))


def test_the_blocking_client_keeps_its_tls_connection(server, trusted):
    server.then(CREATED, STARTED, CLOSED)
    with RemoteGymEnv(server.url, env_dir="x", token="t") as env:
        assert len(env.reset()["ui_tree"]["text"]) == 300_000
    assert server.connections == 1


def test_the_async_client_keeps_its_tls_connection(server, trusted):
    async def play():
        async with await AsyncRemoteGymEnv.open(server.url, env_dir="x", token="t") as env:
            return await env.reset()

    server.then(CREATED, STARTED, CLOSED)
    assert len(asyncio.run(play())["ui_tree"]["text"]) == 300_000
    assert server.connections == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(server):
    transport = Transport(server.url, None, sleep=lambda _: None)
    with pytest.raises(ConnectionFailed, match="certificate"):
        transport.send(Call("GET", "/x", 0.5, ONCE))
