from __future__ import annotations

import logging
import ssl
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import httpx
import pytest

from gym_queue.master.run import Master
from gym_queue.settings import MasterSettings
from gym_queue.tls import TlsFiles, client_context, server_context
from gym_queue.web.renewal import RenewedCertificate
from gym_queue.web.server import LoopThread, bind
from tests.service.tls.conftest import Certificates
from tests.service.worker.programs import WorkerProgram
from tests.waiting import wait_until


@pytest.fixture
def files(certificates: Certificates, tmp_path: Path) -> TlsFiles:
    """Files of a program, which the test may change."""
    own = TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem")
    put(certificates.good, own)
    return own


def put(source: TlsFiles, target: TlsFiles) -> None:
    """Write one program's certificate and key over another's."""
    for new, old in ((source.certfile, target.certfile), (source.keyfile, target.keyfile)):
        assert new is not None
        assert old is not None
        staged = old.with_suffix(".new")
        staged.write_bytes(new.read_bytes())
        staged.replace(old)


def joined(files: TlsFiles) -> bytes:
    """A certificate and its key in one."""
    assert files.certfile is not None
    assert files.keyfile is not None
    return files.certfile.read_bytes() + files.keyfile.read_bytes()


def shakes_hands(server: ssl.SSLContext, trusting: TlsFiles) -> bool:
    """Whether a caller believes a server, by a handshake of the two in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client_context(trusting).wrap_bio(to_client, to_server, server_hostname="localhost"),
    ]
    open_ends = list(ends)
    while open_ends:
        for end in list(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
            open_ends.remove(end)
    return True


def test_files_that_have_changed_are_shown_at_the_next_handshake(
    files: TlsFiles, certificates: Certificates
) -> None:
    server = server_context(files)
    assert server is not None
    renewed = RenewedCertificate(files, [server, True, None])
    assert not renewed.has_changed()
    put(certificates.strange, files)
    assert renewed.has_changed()
    renewed.load()
    assert not shakes_hands(server, certificates.ca)
    assert shakes_hands(server, TlsFiles(ca=certificates.strange.ca))


@pytest.mark.parametrize("which", ["certfile", "keyfile"])
def test_files_that_cannot_be_used_change_nothing_and_are_told_of_once(
    files: TlsFiles, certificates: Certificates, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = server_context(files)
    assert server is not None
    renewed = RenewedCertificate(files, [server])
    path: Path = getattr(files, which)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with caplog.at_level(logging.WARNING):
        assert [renewed.has_changed() for _ in range(3)] == [False] * 3
    assert [record.getMessage()[:37] for record in caplog.records] == [
        "the certificate stays what it was: th"
    ]
    assert shakes_hands(server, certificates.ca)
    path.write_bytes(whole + b"\n")
    assert renewed.has_changed()


@pytest.mark.parametrize("which", ["certfile", "keyfile"])
def test_files_that_are_damaged_after_the_look_are_loaded_as_they_were_seen(
    files: TlsFiles, certificates: Certificates, which: str
) -> None:
    contexts = [server_context(files), server_context(files)]
    renewed = RenewedCertificate(files, contexts)
    put(certificates.strange, files)
    assert renewed.has_changed()
    path: Path = getattr(files, which)
    path.write_bytes(b"half")
    renewed.load()
    for server in contexts:
        assert server is not None
        assert shakes_hands(server, TlsFiles(ca=certificates.strange.ca))


def test_a_key_in_the_file_of_its_certificate_is_renewed_with_it(
    files: TlsFiles, certificates: Certificates
) -> None:
    assert files.certfile is not None
    both = TlsFiles(files.certfile.with_name("both.pem"))
    assert both.certfile is not None
    both.certfile.write_bytes(joined(certificates.good))
    server = server_context(both)
    assert server is not None
    renewed = RenewedCertificate(both, [server])
    both.certfile.write_bytes(joined(certificates.strange))
    assert renewed.has_changed()
    renewed.load()
    assert shakes_hands(server, TlsFiles(ca=certificates.strange.ca))


def test_a_key_that_comes_after_its_certificate_is_waited_for(
    files: TlsFiles, certificates: Certificates
) -> None:
    renewed = RenewedCertificate(files, [])
    put(TlsFiles(certificates.strange.certfile, certificates.good.keyfile), files)
    assert not renewed.has_changed()
    put(certificates.strange, files)
    assert renewed.has_changed()


def test_a_running_master_goes_over_to_a_new_certificate(
    files: TlsFiles, certificates: Certificates, tmp_path: Path
) -> None:
    loop, bound = LoopThread(), bind("127.0.0.1", 0)
    settings = MasterSettings(
        broker_url="amqp://127.0.0.1:1//",
        state_dir=tmp_path / "state",
        ssl_certfile=files.certfile,
        ssl_keyfile=files.keyfile,
    )
    port = bound.getsockname()[1]
    master = Master(settings, "token", bound, add_pages=lambda _app: None, open_paths=frozenset({"/health"}))
    loop.start()
    loop.run(master.start(), 30)
    try:
        assert is_believed(port, certificates.ca)
        put(certificates.strange, files)
        wait_until(lambda: is_believed(port, TlsFiles(ca=certificates.strange.ca)))
        assert not is_believed(port, certificates.ca)
    finally:
        loop.run(master.stop(), 30)
        loop.stop()


def test_a_running_worker_goes_over_to_a_new_certificate(files: TlsFiles, certificates: Certificates) -> None:
    settings = {"ssl_certfile": str(files.certfile), "ssl_keyfile": str(files.keyfile), "worker_id": "w1"}
    short = TemporaryDirectory(prefix="gq-")  # for unix sockets, as tmp_path is not everywhere
    with short as folder, WorkerProgram(Path(folder, "tmp"), **settings) as worker:
        port = urlsplit(worker.read_line()).port
        assert port is not None, worker.log_text()
        assert is_believed(port, certificates.ca)
        put(certificates.strange, files)
        wait_until(lambda: is_believed(port, TlsFiles(ca=certificates.strange.ca)))
        assert not is_believed(port, certificates.ca)
        assert worker.terminate() == 0
        assert worker.left() == []
        assert "new connections get the new one" in worker.log_text()


def is_believed(port: int, trusting: TlsFiles) -> bool:
    """Whether a caller believes the server at a port, on a new connection."""
    try:
        reply = httpx.get(
            f"https://127.0.0.1:{port}/health", verify=client_context(trusting), trust_env=False
        )
    except httpx.ConnectError:
        return False
    return reply.status_code == 200
