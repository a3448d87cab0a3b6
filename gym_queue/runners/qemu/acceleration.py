"""Whether virtual machines run at the processor's own speed here, judged by one that did: KVM, HVF, or TCG instead."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Literal, cast

from gym_queue.errors import RunnerUnavailable
from gym_queue.runners import command
from gym_queue.runners.base import VmOptions
from gym_queue.runners.qemu import kvm

Acceleration = Literal["kvm", "hvf", "tcg"]
PROBE_TIMEOUT_S = 4.5
EMULATED = (
    "this machine is emulated in software (TCG), some ten times slower than with KVM or HVF: "
    "programs take that much longer to start and to answer"
)
"""What session_info says of a machine that nothing accelerates."""
ALLOW = "--allow-emulation lets software emulation (TCG) stand in, some ten times slower"
_GUEST_MACHINES = frozenset({"x86_64", "amd64"})
_NESTED = "use a host, or a virtual machine with nested virtualization, whose KVM runs guests"


class KvmState(StrEnum):
    """How far a guest came."""

    WORKS = "works"  # it ran, at the processor's own speed
    SLOW = "slow"  # it ran, but interpreted: nothing would boot
    STUCK = "stuck"  # it was entered and never came out
    FAILED = "failed"  # it could not be set up
    DENIED = "denied"  # /dev/kvm is not ours to open
    ABSENT = "absent"  # there is no /dev/kvm
    UNKNOWN = "unknown"  # the probe has no guest for this architecture


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something accelerates guests here, why, and what would help."""

    ok: bool
    reason: str
    remedy: str = ""
    state: KvmState = KvmState.ABSENT
    """Of KVM alone."""


def choose_acceleration(options: VmOptions, *, architecture: str | None = None) -> Acceleration:
    """Return what machines of this host run by.

    Args:
        options: One that names an acceleration is taken at its word; the host is probed otherwise, once per process.
        architecture: Of the machine, as images name it; another than the host's is always emulated. None is the host's.

    Raises:
        RunnerUnavailable: Nothing accelerates the machine here, and emulation is not allowed.
    """
    here = architecture_of(platform.machine())
    if architecture not in (None, here):
        if options.allow_emulation:
            return "tcg"
        raise RunnerUnavailable(
            f"a virtual machine for {architecture} can only be emulated on this host, whose processor is {here}: "
            f"use another host, or start with {ALLOW}"
        )
    if options.acceleration is not None:
        return cast(Acceleration, options.acceleration)
    found, verdict = _of_this_host()
    if verdict.ok:
        return found
    if options.allow_emulation:
        return "tcg"
    raise RunnerUnavailable(
        f"virtual machines are not accelerated here: {verdict.reason}; {verdict.remedy}, or start with {ALLOW}"
    )


def architecture_of(machine: str) -> str:
    """Return what images call a processor, whatever ``platform.machine()`` calls it."""
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine)


def notes_on(acceleration: str) -> tuple[str, ...]:
    """Return what session_info says of a machine's acceleration: a sentence, or none."""
    return (EMULATED,) if acceleration == "tcg" else ()


@cache
def _of_this_host() -> tuple[Acceleration, Verdict]:
    system = platform.system()
    if system == "Darwin":
        return "hvf", probe_hvf(system, PROBE_TIMEOUT_S)
    return "kvm", probe_kvm(system, platform.machine(), timeout_s=PROBE_TIMEOUT_S)


def probe_kvm(system: str, machine: str, *, timeout_s: float, device: str = kvm.DEVICE) -> Verdict:
    """Open KVM's device and run a guest on it, in a process of its own.

    Args:
        system: As ``platform.system()`` says.
        machine: As ``platform.machine()`` says.
        timeout_s: Seconds until that process is killed, should its own alarm not end it.
        device: Path of the device.
    """
    if system != "Linux":
        return Verdict(ok=False, reason=f"{system} has no KVM", remedy="KVM needs Linux")
    denied = _try_open(device)
    if denied is not None:
        return denied
    if machine not in _GUEST_MACHINES:
        reason = f"{device} opens; the probe has no guest for {machine}, so it can't judge whether guests run"
        return _failed(KvmState.UNKNOWN, reason, "use an x86_64 host, whose KVM can be judged")
    # As a file, not by -m: the package's imports would eat into the deadline.
    ended = command.run([sys.executable, "-I", str(Path(kvm.__file__)), device], timeout_s=timeout_s)
    return judge_guest(device, ended)


def judge_guest(device: str, ended: command.Ended) -> Verdict:
    """Return what the end of the guest's program says of KVM.

    Args:
        device: Path of the device it ran on.
        ended: How it ended, with the lines it printed.
    """
    lines = ended.output.split("\n")
    limit = f"{kvm.PROGRESS_S:g} s"
    if ended.exit_status == 0 and kvm.RAN in lines:
        return Verdict(ok=True, reason=f"{device} runs guests", state=KvmState.WORKS)
    if ended.exit_status is not None and ended.exit_status > 0:
        last = (ended.output.strip().splitlines() or ["it did not say why"])[-1]
        return _failed(KvmState.FAILED, f"{device} opens, but no guest can be run: {last}")
    if kvm.ALIVE in lines:
        reason = (
            f"{device} opens, but a guest ran far too slowly: {kvm.TURNS:,} turns of a loop took over {limit}"
        )
        return _failed(KvmState.SLOW, reason)
    if kvm.OPENED in lines:
        return _failed(KvmState.STUCK, f"{device} opens, but a guest made no progress in {limit}")
    return _failed(KvmState.FAILED, f"{device} opens, but setting up a guest did not end")


def probe_hvf(system: str, timeout_s: float) -> Verdict:
    """Ask macOS whether it offers virtualization on this machine."""
    if system != "Darwin":
        return Verdict(ok=False, reason=f"{system} has no Hypervisor.framework", remedy="use a Mac")
    try:
        ended = command.run(["sysctl", "-n", "kern.hv_support"], timeout_s=timeout_s)
    except OSError as error:
        return Verdict(ok=False, reason=f"sysctl does not start: {error.strerror}", remedy="mend PATH")
    if ended.output.strip() == "1":
        return Verdict(ok=True, reason="Hypervisor.framework is supported")
    reason = "Hypervisor.framework is not supported on this Mac"
    return Verdict(ok=False, reason=reason, remedy="use a Mac that is not itself a virtual machine")


def _try_open(device: str) -> Verdict | None:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        remedy = "switch on VT-x, AMD-V or nested virtualization, then modprobe kvm_intel or kvm_amd"
        return _failed(KvmState.ABSENT, f"there is no {device}", remedy)
    except PermissionError:
        remedy = "sudo usermod -aG kvm $USER && newgrp kvm"
        return _failed(KvmState.DENIED, f"permission denied on {device}", remedy)
    except OSError as error:
        return _failed(KvmState.FAILED, f"{device} does not open: {error.strerror}")
    return None


def _failed(state: KvmState, reason: str, remedy: str = _NESTED) -> Verdict:
    return Verdict(ok=False, reason=reason, remedy=remedy, state=state)
