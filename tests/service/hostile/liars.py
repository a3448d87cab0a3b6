"""Workers that answer whatever they are asked with what no worker would say."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Iterator, Mapping

HUGE = 100 << 20
HTML = b"<!doctype html><script>alert(document.domain)</script>"
EVIL = b'Set-Cookie: gym_queue_token=x; Path=/\r\nRefresh: 0; url=/evil\r\nClear-Site-Data: "*"\r\n'
ROW = (
    b'{"worker_id":"worker-1","env_id":"%b","episode":"episode_001","started":%b,"ended":%b,"steps":1,'
    b'"outcome":"passed","feedback":"<img src=x onerror=alert(1)>"}'
)


def whole(status: bytes, kind: bytes, body: bytes, more: bytes = b"") -> bytes:
    """Return a reply."""
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n%b\r\n"
    return head % (status, kind, len(body), more) + body


def page(*rows: bytes) -> bytes:
    """Return a list of episodes, which a list of log lines is not."""
    body = b'{"as_of":0,"rows":[%b],"next_before":null,"unreachable":[]}' % b",".join(rows)
    return whole(b"200 OK", b"application/json", body)


JSON = b"application/json"
LIES: Mapping[str, bytes | None] = {
    "a page": whole(b"200 OK", b"text/html", HTML, EVIL),
    "a page that calls itself two things": whole(b"200 OK", b"application/json, text/html", HTML, EVIL),
    "a picture that is a page": whole(b"200 OK", b"image/svg+xml", HTML),
    "a page as an error": whole(b"404 Not Found", b"text/html", HTML, EVIL),
    "another page": whole(b"302 Found", b"text/html", HTML, b"Location: http://169.254.169.254/\r\n"),
    "no HTTP": b"\x00\xffnonsense\r\n\r\n",
    "nothing": b"",
    "half": whole(b"200 OK", JSON, b"{}" + b" " * 5000)[:-4000],
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "no JSON": whole(b"200 OK", JSON, b"{'x': NaN}"),
    "NaN": whole(b"200 OK", JSON, b'{"as_of":NaN,"rows":[],"lines":[{"at":NaN}],"next_before":1e999}'),
    "half a character": whole(b"200 OK", JSON, b'{"as_of":0,"rows":["\xed\xa0\x80"]}'),
    "depth": whole(b"200 OK", JSON, b"[" * 100_000),
    "other things": whole(b"200 OK", JSON, b'{"as_of":0,"rows":[1,null,{}],"lines":{"x":[]},"next_before":[]}'),
    "a row of the future": page(ROW % (b"e", b"0", b"1e300")),
    "a row of nowhere": page(ROW % (b"../../x", b"0", b"1")),
    "strange lines": whole(
        b"200 OK", JSON,
        b'{"as_of":0,"lines":[{"at":1,"level":"<b>","logger":"","text":"</script>","source":"env","x":1e999,"y":{"z":[]}}]}',
    ),
    "a claim of no right": whole(b"401 Unauthorized", JSON, b'{"error":"no","code":"unauthorized"}'),
    "an error of another": whole(b"404 Not Found", JSON, b'{"error":"no","code":"internal"}'),
    "an endless error": whole(b"422 No", JSON, b'{"error":"%b","code":"request_invalid"}' % (b"x" * (1 << 20))),
    "its own failure": whole(b"500 No", JSON, b'{"error":"no","code":"internal"}'),
    "packed": whole(b"200 OK", JSON, zlib.compress(b" " * HUGE), b"Content-Encoding: deflate\r\n"),
    "very much": None,
}  # fmt: skip
"""What it is → the reply; None is 100 MB of a list's beginning."""


class Liar:
    """Answers every connection's first request with one lie, from its making to ``stop``."""

    def __init__(self) -> None:
        self.lie: bytes | None = b""
        self.secret: dict[str, str] = {}
        """The header that proves a registration by its name; the test's to set."""
        self.is_silent = False
        """Whether it reads and never answers."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, name="liar", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()
        for each in self._held:
            each.close()

    def _serve(self) -> None:
        while True:
            try:
                asker, _ = self._listener.accept()
            except OSError:
                return
            if self.is_silent:
                self._held.append(asker)
                continue
            asker.settimeout(10)
            with asker:
                try:
                    asker.recv(65536)
                    for part in self._parts():
                        asker.sendall(part)
                except OSError:
                    continue  # it has heard enough

    def _parts(self) -> Iterator[bytes]:
        if self.lie is not None:
            yield self.lie
            return
        begun = b'{"as_of":0,"lines":[],"rows":["'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        yield head % (len(begun) + HUGE) + begun
        for _ in range(HUGE >> 20):
            yield b"x" * (1 << 20)
