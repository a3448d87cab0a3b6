"""Where workers may say they serve: the master sends its credentials there."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from urllib.parse import urlsplit

from gym_queue.errors import RequestInvalid

RESOLVE_TIMEOUT_S = 2.0
METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})
"""Metadata services of clouds outside the link-local networks (AWS over IPv6, Alibaba Cloud)."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052, section 2.1
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+(?:%[\w.-]+)?", re.IGNORECASE)
"""A name or an address: what else a URL may hold here, other readers of it may take for something else."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


async def check_worker_url(url: str, peer: str) -> None:
    """Refuse a worker's URL that leads where no worker is.

    A name is resolved once, here: one that cannot be resolved now leads nowhere and passes, and one whose answer
    changes later is not seen. Who may register workers is for the worker token to decide.

    Args:
        url: http(s), as the registration's model has checked.
        peer: Address the registration came from.

    Raises:
        RequestInvalid: It has credentials, a path or a port that is none, or leads to a link-local or metadata
            address, or to a loopback one from elsewhere.
    """
    host = _host_of(url)
    from_loopback = _is_loopback(_parse(peer))
    for address in await _addresses_of(host):
        why = _why_not(address, from_loopback=from_loopback)
        if why:
            raise RequestInvalid(
                f"url: {host} leads to {address}, {why}; register the address that the master reaches this worker by (--advertise-host)",
                {"key": "url"},
            )


def _host_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise RequestInvalid(f"url: {error}; write http://host:5900", {"key": "url"}) from error
    is_host = host is not None and _HOST.fullmatch(host)
    if parts.scheme not in ("http", "https") or not host or not is_host or port == 0 or "@" in parts.netloc:
        raise RequestInvalid(
            "url: not an http(s) address of a host, without user or password; write http://host:5900",
            {"key": "url"},
        )
    return host


async def _addresses_of(host: str) -> list[Address]:
    literal = _parse(host)
    if literal is not None:
        return [literal]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (TimeoutError, OSError, UnicodeError):
        return []
    return [address for *_, where in found if (address := _parse(str(where[0]))) is not None]


def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return _embedded(address) or address


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one leads to, by the system or by a gateway of the network."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _is_loopback(address: Address | None) -> bool:
    return address is not None and address.is_loopback


def _why_not(address: Address, *, from_loopback: bool) -> str | None:
    if address.is_link_local or address in METADATA:
        return "a link-local or metadata address"
    if address.is_multicast or address.is_unspecified:
        return "which is no host's address"
    if address.is_loopback and not from_loopback:
        return "the master's own machine, from another one"
    return None
