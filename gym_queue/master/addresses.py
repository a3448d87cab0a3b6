"""Where workers may say they serve: the master sends its credentials there."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

from gym_queue.errors import RequestInvalid

RESOLVE_TIMEOUT_S = 2.0
METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})
"""Metadata services of clouds outside the link-local networks (AWS over IPv6, Alibaba Cloud)."""

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
    if parts.scheme not in ("http", "https") or not host or port == 0 or "@" in parts.netloc:
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
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


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
