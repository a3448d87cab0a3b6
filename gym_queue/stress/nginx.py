"""nginx in front of the same servers, as the proxy to compare with; or as a backend that answers at once."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from gym_queue.errors import StartupFailed

STOP_TIMEOUT_S = 10.0
LOG_TAIL_CHARS = 1000
BACKLOG = 4096

_CONFIG = """
{user}worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 75s;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout 900s;
    proxy_buffers 8 32k;
    proxy_busy_buffers_size 64k;
    proxy_max_temp_file_size 0;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=100;
{servers}
}}
"""


class Nginx:
    """One nginx with one worker process, its files in a temporary folder; started on enter, gone on exit.

    It inherits its listening sockets, so that it serves from the first moment and no port is guessed.

    Args:
        servers: Text of the server blocks, without ``listen``: each gets a port of its own.
        upstreams: Text of upstream blocks.
    """

    def __init__(self, servers: Sequence[str], *, upstreams: str = "") -> None:
        self._servers, self._upstreams = servers, upstreams
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self.urls: list[str] = []
        """Where it serves, in the order of ``servers``."""

    @classmethod
    def before(cls, urls: Sequence[str]) -> Nginx:
        """Return an nginx that forwards to these servers, one port each.

        Args:
            urls: ``http://host:port``.
        """
        upstreams = [
            f"upstream up{number} {{ server {url.removeprefix('http://')}; keepalive 1024; "
            "keepalive_requests 1000000000; }"
            for number, url in enumerate(urls)
        ]
        servers = [f"location / {{ proxy_pass http://up{number}; }}" for number in range(len(urls))]
        return cls(servers, upstreams="\n".join(upstreams))

    @property
    def pid(self) -> int:
        """Its process, whose one child serves."""
        if self._process is None:
            raise StartupFailed("nginx is not running: use it in a with block")
        return self._process.pid

    def __enter__(self) -> Nginx:
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise StartupFailed("nginx is not on PATH: install it (Debian: apt-get install nginx-light)")
        self._folder = Path(tempfile.mkdtemp(prefix="gym-queue-nginx-"))
        try:
            self._start(program)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it and remove its files."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, program: str) -> None:
        bound = [_listen() for _ in self._servers]
        try:
            self.urls = [f"http://127.0.0.1:{sock.getsockname()[1]}" for sock in bound]
            config = self._folder / "nginx.conf"
            config.write_text(self._config(bound))
            command = [program, "-e", "stderr", "-p", str(self._folder), "-c", str(config)]
            _check(command)
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "NGINX": "".join(f"{sock.fileno()};" for sock in bound)},
                pass_fds=[sock.fileno() for sock in bound],
            )
        finally:
            for sock in bound:
                sock.close()

    def _config(self, bound: Sequence[socket.socket]) -> str:
        blocks = [
            f"server {{ listen 127.0.0.1:{sock.getsockname()[1]} backlog={BACKLOG}; {text} }}"
            for sock, text in zip(bound, self._servers, strict=True)
        ]
        user = "user root;\n" if os.geteuid() == 0 else ""
        return _CONFIG.format(user=user, folder=self._folder, servers="\n".join((self._upstreams, *blocks)))


def _listen() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(BACKLOG)
    return sock


def _check(command: Sequence[str]) -> None:
    """Raise StartupFailed when nginx would not start with this configuration."""
    tested = subprocess.run([*command, "-t", "-q"], capture_output=True, text=True, check=False)
    if tested.returncode:
        raise StartupFailed(f"nginx refuses its configuration: {tested.stderr[-LOG_TAIL_CHARS:].strip()}")
