"""Whether virtual machines run at the processor's own speed: KVM on Linux, Hypervisor.framework on macOS."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gym_queue.worker.doctor import command, kvm
from gym_queue.worker.doctor.host import Platform
from gym_queue.worker.doctor.report import Finding, KvmReport, KvmState

_GUEST_MACHINES = frozenset({"x86_64", "amd64"})
_TCG = "QEMU's software emulation (TCG) would work but is slow"
_NESTED = "use a host, or a virtual machine with nested virtualization, whose KVM runs guests"


def probe_kvm(here: Platform, timeout_s: float, *, device: str = kvm.DEVICE) -> KvmReport:
    """Open KVM's device and run a guest on it, in a process of its own.

    Args:
        here: This platform.
        timeout_s: Seconds until that process is killed, should its own alarm not end it.
        device: Path of the device.
    """
    if here.system != "Linux":
        return _report(device, KvmState.ABSENT, f"{here.system} has no KVM", "KVM needs Linux")
    denied = _try_open(device)
    if denied is not None:
        return denied
    if here.machine not in _GUEST_MACHINES:
        reason = (
            f"{device} opens; the probe has no guest for {here.machine}, so it can't judge whether guests run"
        )
        return _report(
            device, KvmState.UNKNOWN, reason, "where they do, start the worker with --skip-preflight"
        )
    # As a file, not by -m: the package's imports would eat into the deadline.
    ended = command.run([sys.executable, "-I", str(Path(kvm.__file__)), device], timeout_s=timeout_s)
    return judge_guest(device, ended)


def hypervisor_framework(here: Platform, timeout_s: float) -> Finding:
    """Whether macOS offers virtualization on this machine."""
    if here.system != "Darwin":
        return Finding(ok=False, reason=f"{here.system} has no Hypervisor.framework", remedy="use a Mac")
    try:
        ended = command.run(["sysctl", "-n", "kern.hv_support"], timeout_s=timeout_s)
    except OSError as error:
        return Finding(ok=False, reason=f"sysctl does not start: {error.strerror}", remedy="mend PATH")
    if ended.output.strip() == "1":
        return Finding(ok=True, reason="Hypervisor.framework is supported")
    remedy = f"use a Mac that is not itself a virtual machine; {_TCG}"
    return Finding(ok=False, reason="Hypervisor.framework is not supported on this Mac", remedy=remedy)


def apple_silicon(here: Platform, timeout_s: float) -> Finding:
    """Whether this is a Mac whose Virtualization.framework runs macOS guests."""
    if (here.system, here.machine) == ("Darwin", "arm64"):
        return hypervisor_framework(here, timeout_s)
    reason = f"this is {here.system} on {here.machine}; AVF exists only on macOS on arm64"
    return Finding(ok=False, reason=reason, remedy="use a Mac with Apple silicon")


def judge_guest(device: str, ended: command.Ended) -> KvmReport:
    """Return what the end of the guest's program says of KVM.

    Args:
        device: Path of the device it ran on.
        ended: How it ended, with the lines it printed.
    """
    lines = ended.output.split("\n")
    limit = f"{kvm.PROGRESS_S:g} s"
    if ended.exit_status == 0 and kvm.RAN in lines:
        return _report(device, KvmState.WORKS, f"{device} runs guests")
    if ended.exit_status is not None and ended.exit_status > 0:
        last = (ended.output.strip().splitlines() or ["it did not say why"])[-1]
        return _report(device, KvmState.FAILED, f"{device} opens, but no guest can be run: {last}", _NESTED)
    if kvm.ALIVE in lines:
        reason = (
            f"{device} opens, but a guest ran far too slowly: {kvm.TURNS:,} turns of a loop took over {limit}"
        )
        return _report(device, KvmState.SLOW, reason, _NESTED)
    if kvm.OPENED in lines:
        reason = f"{device} opens, but a guest made no progress in {limit}"
        return _report(device, KvmState.STUCK, reason, _NESTED)
    return _report(device, KvmState.FAILED, f"{device} opens, but setting up a guest did not end", _NESTED)


def _try_open(device: str) -> KvmReport | None:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        remedy = "switch on VT-x, AMD-V or nested virtualization, then modprobe kvm_intel or kvm_amd"
        return _report(device, KvmState.ABSENT, f"there is no {device}", remedy)
    except PermissionError:
        remedy = "sudo usermod -aG kvm $USER && newgrp kvm"
        return _report(device, KvmState.DENIED, f"permission denied on {device}", remedy)
    except OSError as error:
        return _report(device, KvmState.FAILED, f"{device} does not open: {error.strerror}", _NESTED)
    return None


def _report(device: str, state: KvmState, reason: str, remedy: str | None = None) -> KvmReport:
    works = state is KvmState.WORKS
    offered = None if works else f"{remedy}; {_TCG}"
    details = {"kvm": state.value}
    return KvmReport(ok=works, device=device, state=state, reason=reason, remedy=offered, details=details)
