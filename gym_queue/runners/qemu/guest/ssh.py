"""SSH into a guest that has no agent: one connection, a channel for each script, SFTP where there is no POSIX shell.

The guest is behind a forwarded port of this host's loopback, and its host key is whatever its image has: nobody else
can be there, so the key is not checked.
"""

from __future__ import annotations

import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gym_queue.errors import EnvTimeout, RunnerFailed, RunnerUnavailable
from gym_queue.runners.base import ExecResult
from gym_queue.runners.tail import MAX_OUTPUT_BYTES, Tail
from gym_queue.specs.env import EnvSpec

if TYPE_CHECKING:
    import paramiko

HOST = "127.0.0.1"
BANNER_TIMEOUT_S = 5.0
"""QEMU's forward accepts before the guest does: a server that is up says its version at once (RFC 4253, section 4.2)."""
LOGIN_TIMEOUT_S = 60.0
CHUNK_BYTES = 1 << 16
_KEEPALIVE_S = 15
_LIBRARY_LOG = f"{__name__}.library"


class SshSilent(RunnerFailed):
    """No SSH server answers yet."""


@dataclass(frozen=True, slots=True)
class Login:
    """How to get in, as a spec's ``ssh`` says it."""

    user: str
    password: str | None = None
    key: Path | None = None
    shell: str = ""
    """What runs commands where that is no POSIX shell: powershell or cmd."""


def read_login(spec: EnvSpec, *, fallback_user: str = "") -> Login | None:
    """Return how a spec's guest is logged into; None when it does not say.

    Args:
        spec: Its ``ssh`` has ``user``, ``password``, ``key`` (a file of this host, from ``~`` or ``/``) and
            ``shell``; the password may stand in ``user_accounts`` as well.
        fallback_user: Who logs in where ``ssh`` names nobody.

    Raises:
        RunnerFailed: The key is no file.
    """
    user = str(spec.ssh.get("user") or fallback_user)
    accounts = {each.name: each.password for each in spec.user_accounts}
    password = spec.ssh.get("password") or accounts.get(user)
    key = spec.ssh.get("key") or spec.ssh.get("key_path")
    if not spec.ssh or not user or not (password or key):
        return None
    path = Path(str(key)).expanduser() if key else None
    if path is not None and not path.is_file():
        raise RunnerFailed(f"the key that the spec's ssh names, {path}, is no file of this host")
    return Login(user, str(password) if password else None, path, str(spec.ssh.get("shell") or ""))


class SshConnection:
    """A connection that is logged in. Calls may come from several threads.

    Args:
        port: Of this host's loopback.
        login: Who.
        explain_end: Returns why the machine is gone, or None while nobody knows.

    Raises:
        SshSilent: No SSH server answers there yet.
        RunnerFailed: It does not let us in.
        RunnerUnavailable: paramiko is not installed.
    """

    def __init__(self, port: int, login: Login, explain_end: Callable[[], RunnerFailed | None]) -> None:
        self._paramiko = _library()
        self._explain_end = explain_end
        self._is_closed = False
        self.login = login
        connected = _connect(port)
        try:
            self._transport = self._paramiko.Transport(connected)
            self._transport.set_log_channel(_LIBRARY_LOG)
            self._log_in(login)
        except BaseException:
            connected.close()
            raise

    def run(
        self,
        script: str,
        *,
        timeout_s: float,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
    ) -> ExecResult:
        """Run a script with ``sh``; see ``Carrier.run``."""
        return self.run_line(
            f"exec sh -c {shlex.quote(script)}", timeout_s=timeout_s, stdin=stdin, stdout=stdout
        )

    def run_line(
        self,
        line: str,
        *,
        timeout_s: float,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
    ) -> ExecResult:
        """Run a command line with the account's own shell, whatever that is; as ``run`` otherwise."""
        deadline = time.monotonic() + timeout_s
        try:
            channel = self._transport.open_session(timeout=timeout_s)
            with channel:
                channel.settimeout(timeout_s)
                channel.set_combine_stderr(stdout is None)
                channel.exec_command(line)
                return _Talk(channel, deadline).follow(stdin, stdout)
        except TimeoutError as error:
            raise EnvTimeout(f"a command by SSH ran longer than {timeout_s:g} s") from error
        except (self._paramiko.SSHException, EOFError, OSError) as error:
            raise self._ended(error) from error

    def open_sftp(self) -> paramiko.SFTPClient:
        """Return a client for files; the caller closes it.

        Raises:
            RunnerFailed: The server offers none.
        """
        try:
            client: paramiko.SFTPClient | None = self._paramiko.SFTPClient.from_transport(self._transport)
        except (self._paramiko.SSHException, EOFError, OSError) as error:
            raise self._ended(error) from error
        if client is None:  # the library says so of a channel that was not given
            raise RunnerFailed(
                "the guest's SSH server offers no SFTP: turn its sftp subsystem on in the image"
            )
        return client

    def close(self) -> None:
        """Hang up. Safe to call twice, and from any thread."""
        self._is_closed = True
        self._transport.close()

    def _log_in(self, login: Login) -> None:
        transport = self._transport
        ssh = self._paramiko
        try:
            transport.start_client(timeout=LOGIN_TIMEOUT_S)
            transport.auth_timeout = LOGIN_TIMEOUT_S
            if login.key is not None:
                transport.auth_publickey(login.user, ssh.PKey.from_path(login.key))
            else:
                transport.auth_password(login.user, login.password or "", fallback=True)
            transport.set_keepalive(_KEEPALIVE_S)
        except ssh.AuthenticationException as error:
            how = f"the key {login.key}" if login.key else "the password"
            transport.close()
            raise RunnerFailed(
                f"the guest's SSH server does not let {login.user!r} in with {how} of the spec's ssh: correct the spec, or the account in the image"
            ) from error
        except (ssh.SSHException, EOFError, OSError, ValueError) as error:
            transport.close()
            raise RunnerFailed(
                f"the guest's SSH server broke the login off: {error or 'it hung up'}"
            ) from error

    def _ended(self, error: Exception) -> RunnerFailed:
        if self._is_closed:
            return RunnerFailed("the environment was closed: create a new one")
        reason = self._explain_end()
        return reason or RunnerFailed(f"the guest's SSH server is gone: {error or 'it hung up'}")


class _Talk:
    """A script that runs in a channel: its input goes out and its output comes in, until a deadline."""

    def __init__(self, channel: paramiko.Channel, deadline: float) -> None:
        self._channel, self._deadline = channel, deadline

    def follow(self, stdin: IO[bytes] | None, stdout: IO[bytes] | None) -> ExecResult:
        """Return how it ended; raises TimeoutError when it does not."""
        kept = Tail(MAX_OUTPUT_BYTES)
        feeder = threading.Thread(target=self._feed, args=(stdin,), name="ssh input", daemon=True)
        feeder.start()  # a script that talks while it reads would otherwise wait for us, and we for it
        while chunk := self._receive(self._channel.recv):
            if stdout is None:
                kept.add(chunk)
            else:
                stdout.write(chunk)
        while stdout is not None and (chunk := self._receive(self._channel.recv_stderr)):
            kept.add(chunk)
        if not self._channel.status_event.wait(self._left_s()):
            raise TimeoutError
        feeder.join(self._left_s())
        status = self._channel.recv_exit_status()
        if status < 0:
            raise EOFError("the connection ended before the command did")
        return ExecResult(status, kept.text())

    def _receive(self, receive: Callable[[int], bytes]) -> bytes:
        self._channel.settimeout(self._left_s())
        return receive(CHUNK_BYTES)

    def _feed(self, stdin: IO[bytes] | None) -> None:
        with suppress(OSError, EOFError):  # a script that ended early; how it ended tells
            while stdin is not None and (chunk := stdin.read(CHUNK_BYTES)):
                self._channel.sendall(chunk)
            self._channel.shutdown_write()

    def _left_s(self) -> float:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s


def _connect(port: int) -> socket.socket:
    """Return a connection to a server that has said it speaks SSH."""
    try:
        connected = socket.create_connection((HOST, port), BANNER_TIMEOUT_S)
    except OSError as error:
        raise SshSilent(
            f"nothing answers on the port forwarded to the guest's SSH server: {error}"
        ) from error
    connected.settimeout(BANNER_TIMEOUT_S)
    try:
        greeting = connected.recv(4, socket.MSG_PEEK)
    except OSError as error:
        connected.close()
        raise SshSilent(f"the guest's SSH server says nothing: {error}") from error
    if not greeting:
        connected.close()
        raise SshSilent("the guest's SSH server hung up without a word: it may be starting, or not be there")
    connected.settimeout(None)
    return connected


def _library() -> Any:
    try:
        import paramiko
    except ImportError as error:
        raise RunnerUnavailable(
            "a guest without the agent is reached by SSH, and paramiko is not installed: pip install 'gym-queue[qemu]'"
        ) from error
    logging.getLogger(_LIBRARY_LOG).setLevel(logging.CRITICAL)  # it logs, with tracebacks, what we raise
    return paramiko
