"""A Redis stand-in as a program: fakeredis behind a unix socket, for as long as its parent lives.

Run as ``python -m gym_queue.broker.fakeserver SOCKET [--own-folder]``. It writes a line, ``ready``, to
standard output once it listens. When standard input ends, also because the parent was killed, it removes the
socket (and, with the flag, its folder) and ends.

A unix socket in a 0700 folder keeps other users out, and spares the 40 ms that Nagle's algorithm and delayed
acknowledgements cost each pipeline over TCP, because fakeredis writes reply by reply.
"""

from __future__ import annotations

import itertools
import logging
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler, encode_reply

logger = logging.getLogger(__name__)

_END = object()
RECEIVE_BYTES = 65536


class _Connection(TCPFakeRequestHandler):
    """One client: commands are run as they come, replies sent by a thread of their own.

    fakeredis' own loop polls every 10 ms for pushed messages and hangs up after any error reply.
    """

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(None)
        fake: Any = self.current_client.get_socket()
        self._fake, self._replies = fake, fake.responses

    def handle(self) -> None:
        threading.Thread(target=self._send_replies, name="fake-redis-replies", daemon=True).start()
        try:
            while data := self.connection.recv(RECEIVE_BYTES):
                self._fake.sendall(data)
        except ConnectionError:
            logger.debug("a client hung up", exc_info=True)

    def _send_replies(self) -> None:
        try:
            while (reply := self._replies.get()) is not _END:
                self.connection.sendall(encode_reply(reply, self.protocol_version))
        except OSError:
            logger.debug("a client left before its reply", exc_info=True)

    def finish(self) -> None:
        self._replies.put(_END)
        super().finish()


class UnixFakeServer(TcpFakeServer):
    """fakeredis listening on a unix socket."""

    address_family = socket.AF_UNIX
    request_queue_size = 128
    block_on_close = False

    def __init__(self, path: Path) -> None:
        self._numbers = itertools.count(1)
        address: Any = str(path)  # fakeredis knows host and port alone
        super().__init__(address)
        self.RequestHandlerClass = _Connection
        self.daemon_threads = True

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a client; fakeredis tells clients apart by address, which unix sockets lack."""
        connection, _ = super().get_request()
        return connection, ("unix", next(self._numbers))


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main(path: Path, *, own_folder: bool) -> None:
    """Serve on ``path`` until standard input ends or SIGTERM comes."""
    signal.signal(signal.SIGTERM, _exit)
    path.unlink(missing_ok=True)
    server = UnixFakeServer(path)
    inode = path.stat().st_ino
    try:
        threading.Thread(target=server.serve_forever, args=(0.1,), name="fake-redis", daemon=True).start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()
    finally:
        server.server_close()
        if path.exists() and path.stat().st_ino == inode:  # a successor may have bound the same path already
            path.unlink()
            if own_folder:
                path.parent.rmdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]), own_folder="--own-folder" in sys.argv[2:])
