"""Network namespaces, one for each worker, joined to this machine's by a cable that can be cut. Linux, as root."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from contextlib import suppress
from types import TracebackType

import psutil

from gym_queue.errors import StartupFailed

COMMAND_TIMEOUT_S = 10.0
PREFIX = "gq"
NOBODY = "02:00:00:00:00:01"
"""A hardware address that none of them has."""


class Networks:
    """Namespaces for workers; made on enter, removed on exit.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        own = f"{PREFIX}{os.getpid()}-{secrets.token_hex(1)}"  # a cable's name has 15 characters at most
        self._names = [f"{own}{number}" for number in range(count)]
        self._subnet = 0

    @property
    def places(self) -> list[tuple[str, str]]:
        """Name of each namespace, and this machine's address in it."""
        return [(name, f"{self._address(number)}.1") for number, name in enumerate(self._names)]

    def __enter__(self) -> Networks:
        _remove_stale()
        self._subnet = _free_subnet()
        try:
            for number, name in enumerate(self._names):
                self._make(number, name)
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    def cut(self, number: int) -> None:
        """Take a worker's network away: what is sent either way is lost, and nobody is told."""
        for host, neighbour, cable in self._ends(number):
            _ip(*host, "neigh", "replace", neighbour, "lladdr", NOBODY, "dev", cable, "nud", "permanent")

    def mend(self, number: int) -> None:
        """Give it back."""
        for host, neighbour, cable in self._ends(number):
            _ip(*host, "neigh", "del", neighbour, "dev", cable)

    def remove(self) -> None:
        """Remove them all; cables go with them."""
        for name in self._names:
            with suppress(StartupFailed):  # it was never made
                _ip("netns", "del", name)

    def _make(self, number: int, name: str) -> None:
        here, there, address = f"{name}h", f"{name}w", self._address(number)
        _ip("netns", "add", name)
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        _ip("addr", "add", f"{address}.1/24", "dev", here)
        _ip("link", "set", here, "up")
        _ip("-n", name, "addr", "add", f"{address}.2/24", "dev", there)
        _ip("-n", name, "link", "set", there, "up")
        _ip("-n", name, "link", "set", "lo", "up")

    def _ends(self, number: int) -> tuple[tuple[list[str], str, str], ...]:
        """Return, here and at the worker: how ``ip`` is told where, who is at the other end, over which cable.

        The cables stay up: without a route, what is meant for a worker would leave by this machine's default one.
        """
        name, address = self._names[number], self._address(number)
        return ([], f"{address}.2", f"{name}h"), (["-n", name], f"{address}.1", f"{name}w")

    def _address(self, number: int) -> str:
        return f"10.{self._subnet}.{number}"


def why_no_networks() -> str | None:
    """Return why this machine cannot have namespaces; None when it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "making network namespaces takes root"
    if shutil.which("ip") is None:
        return "ip is not on PATH: install iproute2"
    try:
        with Networks(1) as networks:
            networks.cut(0)
            networks.mend(0)
            return None
    except StartupFailed as error:
        return str(error)


def _remove_stale() -> None:
    """Remove the namespaces of programs that were killed: nobody else is left to."""
    for name in (line.split()[0] for line in _ip("netns", "list").splitlines() if line):
        pid = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and pid.isdigit() and not psutil.pid_exists(int(pid)):
            _ip("netns", "del", name)


def _free_subnet() -> int:
    """Return the second byte of 10.x addresses that this machine does not use yet."""
    used = _ip("-4", "route")
    free = [second for second in range(20, 220) if f"10.{second}." not in used]
    if not free:
        raise StartupFailed("every network from 10.20 to 10.219 is in use here: none is left for workers")
    return secrets.choice(free)


def _ip(*arguments: str) -> str:
    """Run ``ip`` and return what it printed."""
    ran = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    if ran.returncode:
        raise StartupFailed(f"`ip {' '.join(arguments)}` failed: {ran.stderr.strip()}")
    return ran.stdout
