from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from starlette.responses import JSONResponse

from gym_queue.client.calls import Call
from gym_queue.client.network import LoopNetwork
from gym_queue.client.retry import SAFE
from gym_queue.client.transport import Carrier, Transport
from gym_queue.client.trust import Trust
from gym_queue.dashboard.relay import MasterAddress, MasterRelay
from gym_queue.errors import ConnectionFailed, MasterUnreachable, RequestInvalid, StartupFailed, TlsFailed
from gym_queue.protocol.fleet import Registration
from gym_queue.settings import WorkerSettings
from gym_queue.stress.wire import Caller, make_request
from gym_queue.tls import TlsFiles, server_context
from gym_queue.web.server import HttpServer, LoopThread, bind
from gym_queue.worker.announce import Announcer, Census, MasterLink
from gym_queue.worker.run import check_settings
from tests.service.tls.conftest import Certificates

HOST = "127.0.0.1"
CALL = Call("GET", "/x", 30.0, SAFE)
"""Would be repeated for 30 s, if a repetition could help."""
Serve = Callable[..., str]
Ask = Callable[[str, TlsFiles], dict[str, object]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a reply over TLS, or plainly, and returns the URL."""
    with ExitStack() as stack:
        yield lambda files, asks=ssl.CERT_NONE: stack.enter_context(_served(files, asks))


@contextmanager
def _served(files: TlsFiles, asks: ssl.VerifyMode) -> Iterator[str]:
    loop, bound = LoopThread(), bind(HOST, 0)
    server = HttpServer(JSONResponse({"yes": True}), bound, tls=server_context(files, asks=asks))
    loop.start()
    loop.run(server.start(), 10)
    yield f"{files.scheme}://{HOST}:{bound.getsockname()[1]}"
    loop.run(server.stop(), 10)
    loop.stop()


@pytest.fixture(params=["blocking", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Calls a server by one of the clients."""
    return _ask_blocking if request.param == "blocking" else _ask_async


def _ask_blocking(url: str, files: TlsFiles) -> dict[str, object]:
    with closing(Transport(url, None, trust=Trust(files.ca))) as transport:
        return transport.send(CALL)


def _ask_async(url: str, files: TlsFiles) -> dict[str, object]:
    async def once() -> dict[str, object]:
        with closing(Carrier(url, None, LoopNetwork(), trust=Trust(files.ca))) as carrier:
            return await carrier.send(CALL)

    return asyncio.run(once())


def test_a_server_of_the_private_ca_is_believed(ask: Ask, serve: Serve, certificates: Certificates) -> None:
    assert ask(serve(certificates.good), certificates.ca) == {"yes": True}


def test_the_ca_may_come_from_a_variable(
    ask: Ask, serve: Serve, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GYM_ANYTHING_SSL_CA", str(certificates.good.ca))
    assert ask(serve(certificates.good), TlsFiles()) == {"yes": True}


def test_a_server_of_another_ca_is_refused_at_once(
    ask: Ask, serve: Serve, certificates: Certificates
) -> None:
    with pytest.raises(TlsFailed, match=r"no CA trusted here .*--ssl-ca"):
        ask(serve(certificates.strange), certificates.ca)


def test_an_expired_certificate_is_refused_at_once(
    ask: Ask, serve: Serve, certificates: Certificates
) -> None:
    with pytest.raises(TlsFailed, match="has expired: renew"):
        ask(serve(certificates.expired), certificates.ca)


def test_a_certificate_for_another_name_is_refused_at_once(
    ask: Ask, serve: Serve, certificates: Certificates
) -> None:
    with pytest.raises(TlsFailed, match="for another name"):
        ask(serve(certificates.misnamed), certificates.ca)


def test_plain_http_to_a_tls_port_is_told_to_write_https(
    ask: Ask, serve: Serve, certificates: Certificates
) -> None:
    url = serve(certificates.good).replace("https", "http")
    with pytest.raises(TlsFailed, match="serves https alone: write https://127"):
        ask(url, TlsFiles())


def test_tls_to_a_plain_port_is_told_to_write_http(
    ask: Ask, serve: Serve, certificates: Certificates
) -> None:
    url = serve(TlsFiles()).replace("http", "https")
    with pytest.raises(TlsFailed, match="does not speak TLS: write http://"):
        ask(url, certificates.ca)


def test_a_caller_without_a_certificate_is_refused_where_one_is_required(
    ask: Ask, serve: Serve, certificates: Certificates
) -> None:
    with pytest.raises(TlsFailed, match="serves those alone who have a certificate"):
        ask(serve(certificates.good, ssl.CERT_REQUIRED), certificates.ca)


@pytest.mark.parametrize(("which", "match"), [("strange", "not accept our certificate"), ("good", "")])
def test_only_a_caller_with_a_certificate_of_the_ca_is_served_where_one_is_required(
    ask: Ask,
    serve: Serve,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    which: str,
    match: str,
) -> None:
    url, files = serve(certificates.good, ssl.CERT_REQUIRED), getattr(certificates, which)
    monkeypatch.setenv("GYM_ANYTHING_SSL_CERTFILE", str(files.certfile))
    monkeypatch.setenv("GYM_ANYTHING_SSL_KEYFILE", str(files.keyfile))
    if match:
        with pytest.raises(TlsFailed, match=match):
            ask(url, certificates.ca)
    else:
        assert ask(url, certificates.ca) == {"yes": True}


def test_a_hang_up_that_is_not_tls_s_fault_stays_what_it_is(free_port: int) -> None:
    with (
        closing(Transport(f"https://{HOST}:{free_port}", None)) as transport,
        pytest.raises(ConnectionFailed) as caught,
    ):
        transport.send(Call("GET", "/x", 0.2, SAFE))
    assert type(caught.value) is ConnectionFailed


@pytest.fixture
def free_port() -> int:
    with bind(HOST, 0) as bound:
        return int(bound.getsockname()[1])


def announcer(url: str, files: TlsFiles) -> Announcer:
    registration = Registration(worker_id="w1", url="http://127.0.0.1:1", max_envs=1)
    return Announcer(MasterLink(url, "t", files), registration, lambda: Census([]))


def test_a_worker_gives_a_master_of_another_ca_up_at_once(serve: Serve, certificates: Certificates) -> None:
    with pytest.raises(StartupFailed, match="no CA trusted here"):
        announcer(serve(certificates.strange), certificates.ca).register()


def test_a_worker_with_a_strange_certificate_gives_up_at_once(
    serve: Serve, certificates: Certificates
) -> None:
    files = TlsFiles(certificates.strange.certfile, certificates.strange.keyfile, certificates.good.ca)
    with pytest.raises(StartupFailed, match="not accept our certificate"):
        announcer(serve(certificates.good, ssl.CERT_OPTIONAL), files).register()


def test_a_worker_that_asks_a_tls_master_plainly_is_told_so(serve: Serve, certificates: Certificates) -> None:
    with pytest.raises(StartupFailed, match="write https://"):
        announcer(serve(certificates.good).replace("https", "http"), certificates.ca).register()


def test_a_worker_asks_no_plain_master_for_a_certificate(certificates: Certificates) -> None:
    good = certificates.good
    settings = WorkerSettings(master_url="http://m:5800", ssl_certfile=good.certfile, ssl_ca=good.ca)
    with pytest.raises(RequestInvalid, match="serve the master with --ssl-certfile"):
        check_settings(settings)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_load_generator_speaks_both(
    serve: Serve, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("GYM_ANYTHING_SSL_CA", str(certificates.good.ca))
    url = serve(certificates.good if scheme == "https" else TlsFiles())

    async def once() -> int:
        with closing(Caller(url)) as caller:
            return (await caller.ask(make_request("GET", "/", token="t"))).status

    assert asyncio.run(once()) == 200


def test_a_dashboard_reads_from_a_master_of_the_private_ca_alone(
    serve: Serve, certificates: Certificates
) -> None:
    async def read(files: TlsFiles, url: str) -> str:
        relay = MasterRelay(MasterAddress("m", url), None, tls=files)
        try:
            return str((await relay.me(None))["role"])
        finally:
            await relay.close()

    assert asyncio.run(read(certificates.ca, serve(certificates.good))) == "unknown"
    with pytest.raises(MasterUnreachable, match="has expired"):
        asyncio.run(read(certificates.ca, serve(certificates.expired)))
