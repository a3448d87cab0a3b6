"""Which way into a guest: what its image has is found by asking, in the order that serves it best, until a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gym_queue.errors import NotSupported, RunnerFailed
from gym_queue.runners.qemu.guest.protocol import Guest, GuestSetup
from gym_queue.runners.qemu.guest.ssh import Login, read_login
from gym_queue.runners.qemu.guest.ways import AdbWay, AgentWay, HelperWay, SshWay, Way
from gym_queue.runners.qemu.images.model import Image
from gym_queue.specs.env import EnvSpec

PAUSE_S = 0.1
GRACE_S = 20.0
"""How long a better way may still come up once a lesser one is there."""
RESTORED_GRACE_S = 5.0
"""The same in a restored machine: what it has runs already."""


@dataclass(frozen=True, slots=True)
class GuestPlaces:
    """Where this host reaches a machine."""

    agent: Path
    """The agent's port, a unix socket."""
    helper: Path
    """Our helper's port, a unix socket."""
    ssh_port: int | None
    """Of loopback, forwarded to the guest's port 22; None without a network."""
    adb_port: int | None
    """Of loopback, forwarded to the guest's port 5555; None without a network."""


def open_guest(
    image: Image,
    spec: EnvSpec,
    places: GuestPlaces,
    setup: GuestSetup,
    *,
    deadline_s: float,
    check_alive: Callable[[], None],
    is_restored: bool,
) -> Guest:
    """Open the best way into a guest.

    Args:
        image: What the machine runs.
        spec: Whose ``ssh`` tells how to log in where there is no agent, or the guest is Windows.
        places: Where this host reaches it.
        setup: How commands run.
        deadline_s: Seconds until it must answer.
        check_alive: Called between two tries; what it raises ends them.
        is_restored: Whether the machine goes on from a saved state, with the helper inside if it had one.

    Raises:
        RunnerFailed: Nothing answers in time; it says what the image lacks.
        RunnerUnavailable: This host lacks adb, or paramiko.
        NotSupported: There is no way into such a system.
    """
    login = read_login(spec, fallback_user=image.user) if places.ssh_port is not None else None
    ways = _ways(image, places, setup, login)
    if is_restored and image.os_type == "linux":
        ways.insert(0, HelperWay(places.helper, setup))
    chosen = None
    try:
        chosen, left_s = _first(ways, deadline_s, RESTORED_GRACE_S if is_restored else GRACE_S, check_alive)
        if chosen is None:
            raise RunnerFailed(_lacks(image, login, places, deadline_s))
        return chosen.open(left_s)
    finally:
        for way in ways:
            if way is not chosen:
                way.close()


def _ways(image: Image, places: GuestPlaces, setup: GuestSetup, login: Login | None) -> list[Way]:
    """Return the ways into a guest, the best first.

    Windows' agent is the SYSTEM account, which has no desktop and a registry of its own; scripts are written for the
    account that is logged in, so SSH goes first there.
    """
    if image.os_type == "android":
        return [] if places.adb_port is None else [AdbWay(places.adb_port, setup)]
    if image.os_type not in ("linux", "windows"):
        raise NotSupported(
            f"the image {image.name} is {image.os_type}: the qemu runner knows linux, windows and android"
        )
    ways: list[Way] = [AgentWay(image, places.agent, places.helper, setup, login.shell if login else "")]
    if login is not None and places.ssh_port is not None:
        ways.insert(0 if image.os_type == "windows" else 1, SshWay(image, places.ssh_port, login, setup))
    return ways


def _first(
    ways: Sequence[Way], deadline_s: float, grace_s: float, check_alive: Callable[[], None]
) -> tuple[Way | None, float]:
    """Return the best way that is there, and how long is left; a lesser one waits for a better one for a while."""
    end = time.monotonic() + deadline_s
    best, settled_at = len(ways), end
    while best > 0 and time.monotonic() < settled_at:
        found = next((rank for rank, way in enumerate(ways[:best]) if way.is_there()), None)
        if found is not None:
            best, settled_at = found, min(end, time.monotonic() + grace_s)
            continue
        check_alive()
        time.sleep(PAUSE_S)
    return (ways[best] if best < len(ways) else None), max(0.0, end - time.monotonic())


def _lacks(image: Image, login: Login | None, places: GuestPlaces, deadline_s: float) -> str:
    """Return the sentence that says what to put into an image that does not answer."""
    start = f"the image {image.name}"
    if image.os_type == "android" and places.adb_port is None:
        return f"{start} is Android, which adb reaches by the network alone, and this machine has none: set resources.net in the spec"
    if image.os_type == "android":
        return f"{start} answers no adb on its port 5555 after {deadline_s:g} s: turn adb over TCP on in it (setprop service.adb.tcp.port 5555)"
    tools = "the virtio-win guest tools" if image.os_type == "windows" else "qemu-guest-agent"
    if login is None:
        other = "name user and password of its SSH server in the spec's ssh, with resources.net"
        return f"{start} has no qemu-guest-agent that answers after {deadline_s:g} s: install {tools} in it, or {other}"
    return f"{start} answers neither by a qemu-guest-agent nor by SSH after {deadline_s:g} s: install {tools}, or an SSH server, in it"
