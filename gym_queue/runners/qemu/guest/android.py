"""Android by adb: a server of this machine's own, in the foreground on a unix socket, so that none is shared or left behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from gym_queue.errors import EnvTimeout, RunnerFailed, RunnerUnavailable
from gym_queue.runners.base import ExecResult
from gym_queue.runners.processes import ENV_MARK
from gym_queue.runners.tail import MAX_OUTPUT_BYTES, Tail

SERVER_SOCKET = "adb.sock"
START_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 15.0
CHUNK_BYTES = 1 << 16
_POLL_S = 0.02
_KEEPER = '"$@" & read -r _; kill -KILL "$!"; wait'
"""Ends the server when nobody holds the keeper's input any more: this process may be killed."""
_OWN_ERRORS = re.compile(rb"^(error: |adb: (device|error|no devices)|\* )", re.MULTILINE)
_UNAUTHORIZED = re.compile("unauthorized|failed to authenticate")


class AdbSilent(RunnerFailed):
    """The device does not answer yet."""


def find_adb() -> str:
    """Return where adb is.

    Raises:
        RunnerUnavailable: Nowhere.
    """
    found = shutil.which("adb")
    if found is None:
        raise RunnerUnavailable("an Android guest is reached by adb, which is not on PATH: apt install adb")
    return found


class AdbServer:
    """An adb server for one machine.

    Args:
        folder: Where it makes a folder of its own.
        env_id: Whose it is; a sweep of that environment ends it.

    Raises:
        RunnerUnavailable: There is no adb.
        RunnerFailed: It does not start.
    """

    def __init__(self, folder: Path, env_id: str = "") -> None:
        self._at = [find_adb(), "-L", f"localfilesystem:{SERVER_SOCKET}"]
        self._folder = Path(
            tempfile.mkdtemp(prefix="adb-", dir=folder)
        )  # entered, so that its path may be long
        with (self._folder / "adb.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _KEEPER, "sh", *self._at, "nodaemon", "server"],
                cwd=self._folder,
                env={**os.environ, ENV_MARK: env_id},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def open(
        self, words: Sequence[str], *, stdin: IO[bytes] | int, stderr: IO[bytes] | int
    ) -> subprocess.Popen[bytes]:
        """Start an adb client; its output is a pipe."""
        return subprocess.Popen(
            [*self._at, *words], cwd=self._folder, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr
        )

    def ask(self, *words: str, timeout_s: float) -> str:
        """Return what an adb client says, its errors too.

        Raises:
            AdbSilent: Nothing, in time.
        """
        with self.open(words, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT) as client:
            try:
                return client.communicate(timeout=timeout_s)[0].decode(errors="replace").strip()
            except subprocess.TimeoutExpired as error:
                client.kill()
                raise AdbSilent(f"adb {words[0]} did not end in {timeout_s:g} s") from error

    def close(self) -> None:
        """End it. Safe to call twice."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while not (self._folder / SERVER_SOCKET).exists():
            if self._process.poll() is not None or time.monotonic() > end:
                said = (self._folder / "adb.log").read_text(errors="replace").strip()[-500:]
                raise RunnerFailed(
                    f"an adb server of the machine's own does not start: {said or 'it says nothing'}"
                )
            time.sleep(_POLL_S)


class AdbCarrier:
    """Scripts by ``adb shell``; see ``Carrier``.

    Args:
        server: Owned from here on.
        port: Of this host's loopback, forwarded to the guest's adbd.
        explain_end: Returns why the machine is gone, or None while nobody knows.
    """

    def __init__(self, server: AdbServer, port: int, explain_end: Callable[[], RunnerFailed | None]) -> None:
        self._server, self._serial = server, f"127.0.0.1:{port}"
        self._explain_end = explain_end
        self._is_closed = False
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def connect(self) -> None:
        """Connect, and see that Android has booted.

        Raises:
            AdbSilent: It does not answer, or has not.
            RunnerFailed: It does not let us in.
        """
        said = self._ask("connect", self._serial)
        if "connected to" in said:
            said = self._ask("-s", self._serial, "shell", "getprop sys.boot_completed")
        if said == "1":
            return
        if _UNAUTHORIZED.search(said) is not None:
            raise RunnerFailed(
                "the Android image does not know this host's adb key (unauthorized): put ~/.android/adbkey.pub into its /data/misc/adb/adb_keys"
            )
        self._ask("disconnect", self._serial)  # an offline one stays offline
        raise AdbSilent(
            f"Android has not booted, or runs no adbd on TCP: {said or 'sys.boot_completed is not set'}"
        )

    def _ask(self, *words: str) -> str:
        return self._server.ask(*words, timeout_s=CONNECT_TIMEOUT_S)

    def run(
        self,
        script: str,
        *,
        timeout_s: float,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
    ) -> ExecResult:
        """Run a script; see ``Carrier.run``."""
        words = ("-s", self._serial, "shell", "-T", "-e", "none", script)
        with tempfile.TemporaryFile() as errors, self._open(words, stdin, errors) as client:
            watch = threading.Timer(timeout_s, client.kill)
            watch.start()
            try:
                kept = _drain(client, stdout)
                status = client.wait()
            finally:
                watch.cancel()
                self._running.discard(client)
            errors.seek(0)
            said = errors.read(MAX_OUTPUT_BYTES)
        if status < 0 and not self._is_closed:
            raise EnvTimeout(f"a command by adb ran longer than {timeout_s:g} s")
        if self._is_closed or (status != 0 and _OWN_ERRORS.search(said) is not None):
            raise self._ended(said)
        kept.add(said)
        return ExecResult(status, kept.text())

    def close(self) -> None:
        """End the server; running calls fail. Safe to call twice, and from any thread."""
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        for client in running:
            client.kill()
        self._server.close()

    def _open(
        self, words: Sequence[str], stdin: IO[bytes] | None, errors: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        with self._lock:  # one that starts while this is closed would get away
            if self._is_closed:
                raise self._ended(b"")
            client = self._server.open(words, stdin=stdin or subprocess.DEVNULL, stderr=errors)
            self._running.add(client)
            return client

    def _ended(self, said: bytes) -> RunnerFailed:
        if self._is_closed:
            return RunnerFailed("the environment was closed: create a new one")
        why = said.decode(errors="replace").strip()[-300:]
        return self._explain_end() or RunnerFailed(f"the Android guest does not answer by adb: {why}")


def _drain(client: subprocess.Popen[bytes], stdout: IO[bytes] | None) -> Tail:
    """Read all that a client writes, into ``stdout`` where that is given."""
    kept = Tail(MAX_OUTPUT_BYTES)
    assert client.stdout is not None  # noqa: S101  a pipe was asked for
    while chunk := client.stdout.read1(CHUNK_BYTES):  # type: ignore[attr-defined]  # it is buffered
        if stdout is None:
            kept.add(chunk)
        else:
            stdout.write(chunk)
    return kept
