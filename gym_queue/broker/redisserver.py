"""A redis-server of our own: password, append-only file, found again by the program's next run."""

from __future__ import annotations

import logging
import secrets
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

import psutil
import redis
from pydantic import TypeAdapter, ValidationError
from redis.backoff import NoBackoff
from redis.retry import Retry

from gym_queue.broker.files import log_tail, write_private
from gym_queue.errors import StartupFailed

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 30.0
"""Longest start, with a long append-only file to load."""
KILL_TIMEOUT_S = 5.0
END_POLL_S = 0.05
"""How often a process that another program started is looked at while it ends."""
PORT_TRIES = 3

_CONFIG = """
bind {host}
port {port}
requirepass {password}
protected-mode yes
daemonize no
dir ./
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
loglevel warning
"""


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of redis-server, as its state file keeps it."""

    host: str
    port: int
    password: str
    pid: int

    @property
    def local_host(self) -> str:
        """Where this machine reaches it."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)


class RedisServer:
    """redis-server on a free port, with its files in ``folder``.

    It outlives a program that was killed, on purpose: the queued creates are still there when the next run,
    on the same folder, finds it again. ``stop`` ends it.

    Args:
        folder: A folder of this broker alone, private to the user.
        host: Address to listen on.
        stop_grace_s: Seconds it may take to end before it is killed.
    """

    kind = "redis"

    def __init__(self, folder: Path, host: str, *, stop_grace_s: float) -> None:
        self._folder = folder
        self._host = host
        self._stop_grace_s = stop_grace_s
        self._state_path = folder / "redis.json"
        self._log_path = folder / "redis.log"
        self._instance: Instance | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def description(self) -> str:
        """Say what runs and where, without the password."""
        if self._instance is None:
            return "embedded redis-server, not running"
        at = self._instance
        return f"embedded redis-server {at.host}:{at.port}, pid {at.pid}, files in {self._folder}"

    def url_for(self, host: str | None = None) -> str:
        """Return the URL, password and all, for programs that reach this machine as ``host``."""
        if self._instance is None:
            raise StartupFailed("the embedded broker is not running: start it first")
        host = host or self._instance.local_host
        name = f"[{host}]" if ":" in host else host
        return f"redis://:{self._instance.password}@{name}:{self._instance.port}/0"

    def start(self) -> None:
        """Find the previous run's server, or start one on its files.

        Raises:
            StartupFailed: redis-server ended, or did not answer in time.
        """
        previous = self._read_state()
        if previous is not None and self._owns(previous.pid):
            if previous.host == self._host and self._is_running(previous):
                self._instance = previous
                return
            # It hangs, or the operator changed the address; and two servers would spoil each other's files.
            _end(previous.pid, self._stop_grace_s)
        self._launch(previous)

    def stop(self) -> None:
        """End the server, its data written. The files stay, for the next run."""
        instance, self._instance = self._instance, None
        child, self._child = self._child, None
        if instance is None:
            return
        if child is not None:
            _end_child(child, self._stop_grace_s)
        elif self._owns(instance.pid):
            _end(instance.pid, self._stop_grace_s)

    def _launch(self, previous: Instance | None) -> None:
        port = previous.port if previous is not None and _is_free(self._host, previous.port) else 0
        password = previous.password if previous is not None else secrets.token_hex(24)
        for left in reversed(range(PORT_TRIES)):
            wanted = Instance(self._host, port or _free_port(self._host), password, pid=0)
            try:
                self._run(wanted)
            except StartupFailed:
                if not left or "already in use" not in log_tail(self._log_path):
                    raise
                port = 0  # another program was faster
            else:
                return

    def _run(self, wanted: Instance) -> None:
        with self._log_path.open("wb") as log:
            child = subprocess.Popen(
                ["redis-server", "-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,  # a terminal's Ctrl-C is for the master, which then stops us in order
            )
        config = _CONFIG.format(host=wanted.host, port=wanted.port, password=wanted.password)
        instance = replace(wanted, pid=child.pid)
        try:
            self._configure(child, config)
            write_private(self._state_path, TypeAdapter(Instance).dump_json(instance).decode())
            self._await_answer(child, instance)
        except BaseException:
            _end_child(child, self._stop_grace_s)
            raise
        self._child, self._instance = child, instance

    def _configure(self, child: subprocess.Popen[bytes], config: str) -> None:
        try:
            with cast(IO[bytes], child.stdin) as pipe:
                pipe.write(config.encode())
        except BrokenPipeError:
            logger.debug("redis-server ended before it read its configuration")  # its log says why

    def _await_answer(self, child: subprocess.Popen[bytes], instance: Instance) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_running(instance):
            if time.monotonic() > deadline:
                raise StartupFailed(
                    f"redis-server in {self._folder} did not answer within {START_TIMEOUT_S:.0f} s; "
                    f"its log ends: {log_tail(self._log_path)}"
                )
            try:
                status = child.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
            raise StartupFailed(
                f"redis-server ended with status {status}: {log_tail(self._log_path)}; "
                f"mend that, or give --broker-url"
            )

    def _read_state(self) -> Instance | None:
        try:
            return TypeAdapter(Instance).validate_json(self._state_path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StartupFailed(f"{self._state_path} is not a broker's state file: delete it") from error

    def _owns(self, pid: int) -> bool:
        """Whether this process is a redis-server that works on our files."""
        try:
            process = psutil.Process(pid)
            return process.name() == "redis-server" and process.cwd() == str(self._folder)
        except psutil.Error:
            return False

    def _is_running(self, instance: Instance) -> bool:
        """Whether exactly this process answers at its port to our password, all data loaded."""
        client = redis.Redis(
            instance.local_host,
            instance.port,
            password=instance.password,
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            client.ping()
            return bool(client.info("server")["process_id"] == instance.pid)
        except redis.RedisError:
            return False
        finally:
            client.close()


def _end_child(child: subprocess.Popen[bytes], grace_s: float) -> None:
    child.terminate()
    try:
        child.wait(grace_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _end(pid: int, grace_s: float) -> None:
    """End a redis-server that an earlier run started."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.terminate()
        if not _has_ended(process, grace_s):
            process.kill()
            if not _has_ended(process, KILL_TIMEOUT_S):
                logger.warning("redis-server %d of an earlier run does not end", pid)


def _has_ended(process: psutil.Process, timeout_s: float) -> bool:
    """Wait until a process is gone; one that is only left for its parent to reap has ended, too."""
    deadline = time.monotonic() + timeout_s
    while process.is_running() and not _is_left_to_reap(process):
        if time.monotonic() > deadline:
            return False
        with suppress(psutil.TimeoutExpired):
            process.wait(END_POLL_S)
    return True


def _is_left_to_reap(process: psutil.Process) -> bool:
    """Whether nothing of a process runs any more: a zombie's other threads may hold its port for a moment."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:  # gone; or a zombie, where the system does not tell its threads
        return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_free(host: str, port: int) -> bool:
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_port(host: str) -> int:
    with socket.socket(_family(host)) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            raise StartupFailed(f"the embedded broker cannot listen on {host}: {error.strerror}") from error
        return int(probe.getsockname()[1])
