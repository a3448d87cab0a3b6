"""The device's end of adb over TCP, as Android's adbd speaks it; its shell is this machine's sh.

Source: packages/modules/adb of the Android Open Source Project: protocol.txt, shell_protocol.h.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

HEAD, PACKET = struct.Struct("<4sIIIII"), struct.Struct("<BI")
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
VERSION, MAX_DATA = 0x01000001, 1 << 18


class Adbd:
    """One device on a port of loopback.

    Args:
        folder: Where its shell starts, and finds all its programs.
        state: What it is to the host: device, or one that wants its key known (``unauthorized``).
    """

    def __init__(self, folder: Path, *, state: str = "device") -> None:
        self._folder, self._state = folder, state
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.scripts: list[str] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            each.close()
        self._thread.join()

    def hang_up(self) -> None:
        """End the connections there are."""
        for each in self._open:
            each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=_Connection(connection, self).serve, daemon=True).start()

    def greeting(self) -> tuple[bytes, int, int, bytes]:
        if self._state == "unauthorized":
            return b"AUTH", 1, 0, b"t" * 20
        banner = b"device::ro.product.name=test;features=shell_v2,cmd\0"
        return b"CNXN", VERSION, MAX_DATA, banner

    def spawn(self, script: str) -> subprocess.Popen[bytes]:
        self.scripts.append(script)
        environment = {"PATH": str(self._folder), "HOME": str(self._folder)}
        return subprocess.Popen(
            ["/bin/sh", "-c", script],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )


class _Connection:
    def __init__(self, connection: socket.socket, device: Adbd) -> None:
        self._connection, self._device = connection, device
        self._sending = threading.Lock()
        self._shells: dict[int, _Shell] = {}

    def serve(self) -> None:
        try:
            while True:
                command, first, second, data = self._receive()
                self._handle(command, first, second, data)
        except (OSError, EOFError):
            for shell in self._shells.values():
                shell.end()

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        number = struct.unpack("<I", command)[0]
        head = HEAD.pack(command, first, second, len(data), sum(data) & 0xFFFFFFFF, number ^ 0xFFFFFFFF)
        with self._sending:
            self._connection.sendall(head + data)

    def _handle(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command in (b"CNXN", b"AUTH"):
            self.send(*self._device.greeting())
        elif command == b"OPEN" and data.startswith(b"shell,v2,"):
            script = data.rstrip(b"\0").partition(b":")[2].decode()
            self._shells[first] = _Shell(self, first, self._device.spawn(script))
            self.send(b"OKAY", first, first)
            self._shells[first].begin()
        elif command == b"OPEN":
            self.send(b"CLSE", 0, first)
        elif command == b"WRTE" and first in self._shells:
            self._shells[first].feed(data)
            self.send(b"OKAY", first, first)
        elif command == b"OKAY" and first in self._shells:
            self._shells[first].room.release()
        elif command == b"CLSE" and first in self._shells:
            self._shells.pop(first).end()

    def _receive(self) -> tuple[bytes, int, int, bytes]:
        command, first, second, size, _, _ = HEAD.unpack(self._exactly(HEAD.size))
        return command, first, second, self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            chunk = self._connection.recv(size - len(got))
            if not chunk:
                raise EOFError
            got += chunk
        return got


class _Shell:
    """A service that adb opened: ids are the host's, for both sides."""

    def __init__(self, connection: _Connection, number: int, process: subprocess.Popen[bytes]) -> None:
        self._connection, self._number, self._process = connection, number, process
        self._held = b""
        self.room = threading.Semaphore(1)
        self._writing = threading.Lock()

    def begin(self) -> None:
        threading.Thread(target=self._follow, daemon=True).start()

    def feed(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._held += data
        while len(self._held) >= PACKET.size:
            kind, size = PACKET.unpack(self._held[: PACKET.size])
            if len(self._held) < PACKET.size + size:
                return
            content, self._held = (
                self._held[PACKET.size : PACKET.size + size],
                self._held[PACKET.size + size :],
            )
            try:
                if kind == STDIN:
                    self._process.stdin.write(content)
                elif kind == CLOSE_STDIN:
                    self._process.stdin.close()
            except (BrokenPipeError, ValueError):
                pass

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGHUP)

    def _follow(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        pipes = ((STDOUT, self._process.stdout), (STDERR, self._process.stderr))
        copies = [threading.Thread(target=self._copy, args=each, daemon=True) for each in pipes]
        try:
            for each in copies:
                each.start()
            for each in copies:
                each.join()
            self._write(EXIT, bytes([self._process.wait() & 0xFF]))
            self._connection.send(b"CLSE", self._number, self._number)
        except OSError:
            pass  # the host hung up

    def _copy(self, kind: int, pipe: IO[bytes]) -> None:
        with pipe:
            while chunk := os.read(pipe.fileno(), MAX_DATA // 2):
                try:
                    self._write(kind, chunk)
                except OSError:
                    return

    def _write(self, kind: int, content: bytes) -> None:
        with self._writing:
            self.room.acquire(timeout=30)
            self._connection.send(
                b"WRTE", self._number, self._number, PACKET.pack(kind, len(content)) + content
            )
