"""The few hosts that a machine may reach: each has an address inside, and a program that carries its connections.

QEMU's user network is closed then but for these addresses; no name is resolved inside, so that the names stand in
the guest's ``/etc/hosts``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gym_queue.errors import NotSupported, SpecInvalid

FORWARDER = Path(__file__).with_name("forwarder.py")
PORTS = (80, 443)
"""Of a host that is named without one: the web's."""
FIRST_ADDRESS = 20
MAX_HOSTS = 200
_HOST = re.compile(r"(?!-)[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True, slots=True)
class Target:
    """One port of one host."""

    host: str
    port: int
    address: str
    """Of the host, as the guest knows it: in QEMU's user network, 10.0.2.0/24."""


def targets_of(allowlist: Sequence[str]) -> tuple[Target, ...]:
    """Return what an allowlist lets through.

    Args:
        allowlist: Each ``host`` (ports 80 and 443) or ``host:port``.

    Raises:
        SpecInvalid: An entry names no host.
        NotSupported: An entry is a pattern or an address, or there are too many.
    """
    addresses: dict[str, str] = {}
    found: dict[tuple[str, int], Target] = {}
    for entry in allowlist:
        host, ports = _parse(entry)
        address = addresses.setdefault(host, f"10.0.2.{FIRST_ADDRESS + len(addresses)}")
        found.update({(host, port): Target(host, port, address) for port in ports})
    if len(addresses) > MAX_HOSTS:
        raise NotSupported(
            f"security.network_allowlist: {len(addresses)} hosts; a machine has room for {MAX_HOSTS}"
        )
    return tuple(found.values())


def hosts_script(targets: Sequence[Target]) -> str:
    """Return what root runs inside, so that the names lead to their addresses."""
    lines = dict.fromkeys(f"{each.address} {each.host}" for each in targets)
    return "cat >> /etc/hosts <<'END'\n" + "\n".join(lines) + "\nEND"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _parse(entry: str) -> tuple[str, Sequence[int]]:
    host, _, port = entry.strip().partition(":")
    if "*" in entry or "/" in entry:
        raise NotSupported(
            f"security.network_allowlist: {entry!r} is a pattern, and the qemu runner lets single hosts through: name each"
        )
    if _is_address(host):
        raise NotSupported(
            f"security.network_allowlist: {entry!r} is an address, and the qemu runner lets names through: name the host"
        )
    if not _HOST.fullmatch(host) or (port and not 0 < int(port if port.isdecimal() else 0) < 65_536):
        raise SpecInvalid(f"security.network_allowlist: {entry!r} is no host: write name or name:port")
    return host, (int(port),) if port else PORTS
