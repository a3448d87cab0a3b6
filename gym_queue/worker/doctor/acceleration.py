"""Whether virtual machines run at the processor's own speed: KVM on Linux, Hypervisor.framework on macOS."""

from __future__ import annotations

from gym_queue.runners.qemu import kvm
from gym_queue.runners.qemu.acceleration import ALLOW, probe_hvf
from gym_queue.runners.qemu.acceleration import probe_kvm as try_kvm
from gym_queue.worker.doctor.host import Platform
from gym_queue.worker.doctor.report import Finding, KvmReport


def probe_kvm(here: Platform, timeout_s: float, *, device: str = kvm.DEVICE) -> KvmReport:
    """Open KVM's device and run a guest on it, in a process of its own.

    Args:
        here: This platform.
        timeout_s: Seconds until that process is killed, should its own alarm not end it.
        device: Path of the device.
    """
    found = try_kvm(here.system, here.machine, timeout_s=timeout_s, device=device)
    details = {"kvm": found.state.value, **({"acceleration": "kvm"} if found.ok else {})}
    return KvmReport(
        ok=found.ok,
        device=device,
        state=found.state,
        reason=found.reason,
        remedy=found.remedy or None,
        details=details,
    )


def hypervisor_framework(here: Platform, timeout_s: float) -> Finding:
    """Whether macOS offers virtualization on this machine."""
    found = probe_hvf(here.system, timeout_s)
    details = {"acceleration": "hvf"} if found.ok else {}
    return Finding(ok=found.ok, reason=found.reason, remedy=found.remedy or None, details=details)


def apple_silicon(here: Platform, timeout_s: float) -> Finding:
    """Whether this is a Mac whose Virtualization.framework runs macOS guests."""
    if (here.system, here.machine) == ("Darwin", "arm64"):
        return hypervisor_framework(here, timeout_s)
    reason = f"this is {here.system} on {here.machine}; AVF exists only on macOS on arm64"
    return Finding(ok=False, reason=reason, remedy="use a Mac with Apple silicon")


def for_qemu(found: Finding, *, allow_emulation: bool) -> Finding:
    """Return what QEMU makes of a finding on acceleration: it can do without, where the operator lets it.

    Args:
        found: On KVM or Hypervisor.framework.
        allow_emulation: Whether software emulation may stand in.
    """
    if found.ok:
        return found
    if not allow_emulation:
        return found.model_copy(update={"remedy": f"{found.remedy}; or {ALLOW}"})
    reason = f"machines are emulated in software (TCG), some ten times slower: {found.reason}"
    return Finding(ok=True, reason=reason, details={**found.details, "acceleration": "tcg"})
