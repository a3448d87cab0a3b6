"""What each runner needs of its host, and the verdict on each."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import psutil

from gym_queue.names import QEMU_FAMILY, RUNNERS
from gym_queue.runners.base import VmOptions
from gym_queue.runners.qemu.kvm import DEVICE
from gym_queue.worker.doctor import acceleration, tools
from gym_queue.worker.doctor.dockerd import docker_daemon
from gym_queue.worker.doctor.extras import extras
from gym_queue.worker.doctor.gather import gather
from gym_queue.worker.doctor.host import Platform, this_platform
from gym_queue.worker.doctor.report import Finding, HostReport, KvmReport, KvmState, RunnerReport
from gym_queue.worker.doctor.terminal import terminal
from gym_queue.worker.doctor.vmimages import vm_images

DEADLINE_S = 5.0
PROBE_SHARE = 0.9  # of the deadline: what a probe may use, so that it can tell what hung

KVM, HYPERVISOR, VM_IMAGES = "kvm", "hypervisor_framework", "vm_images"
PROBES: Mapping[str, Callable[[Platform, float], Finding]] = {
    "terminal": terminal,
    "docker_daemon": docker_daemon,
    "qemu_system": tools.qemu_system,
    "qemu_img": tools.qemu_img,
    "apptainer": tools.apptainer,
    "user_namespaces": tools.user_namespaces,
    "android_sdk": tools.android_sdk,
    "emulator": tools.emulator,
    "adb": tools.adb,
    "apple_silicon": acceleration.apple_silicon,
    KVM: acceleration.probe_kvm,
    HYPERVISOR: acceleration.hypervisor_framework,
    VM_IMAGES: vm_images,
}

_APPTAINER = ("apptainer", "user_namespaces")
_QEMU = ("qemu_system", "qemu_img", VM_IMAGES)
_ANDROID = ("android_sdk", "emulator", "adb")


def needs(runner: str, here: Platform) -> tuple[str, ...]:
    """Return the names of the probes that must all be ok for a runner.

    Args:
        runner: A name of ``RUNNERS``.
        here: The platform: it decides what accelerates virtual machines.
    """
    accelerator = _accelerator(here)
    by_runner = {
        "local": ("terminal",),
        "docker": ("docker_daemon",),
        "qemu": (*_QEMU, accelerator),
        "qemu_native": (*_QEMU, accelerator),
        "apptainer": _APPTAINER,
        "avd": (*_ANDROID, accelerator, *_APPTAINER),
        "avd_native": (*_ANDROID, accelerator),
        "avf": ("apple_silicon",),
        "fake": (),
    }
    return by_runner[runner]


def _accelerator(here: Platform) -> str:
    return HYPERVISOR if here.system == "Darwin" else KVM


def diagnose(
    runners: Sequence[str] | None = None,
    *,
    implemented: Collection[str],
    deadline_s: float = DEADLINE_S,
    vm: VmOptions | None = None,
) -> HostReport:
    """Probe this host, and say for each runner whether it can run here. Never raises for what it finds.

    Args:
        runners: Names to judge; None judges every runner except fake. An unknown one is reported as such.
        implemented: The runners this version has.
        deadline_s: Seconds until a probe that has not answered counts as failed.
        vm: How virtual machines are to run; None allows no emulation, and takes the user's own images.
    """
    here, vm = this_platform(), vm or VmOptions()
    asked = [name for name in RUNNERS if name != "fake"] if runners is None else list(dict.fromkeys(runners))
    wanted = set[str]().union(*(needs(name, here) for name in asked if name in RUNNERS))
    limit_s = deadline_s * PROBE_SHARE
    probes: dict[str, Callable[[Platform, float], Finding]] = {
        **PROBES,
        VM_IMAGES: partial(vm_images, folder=vm.image_dir),
    }
    chosen = {name: partial(probe, here, limit_s) for name, probe in probes.items() if name in wanted}
    found = gather(chosen, deadline_s=deadline_s)
    return HostReport(
        hostname=platform.node(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpus=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        kvm=_as_kvm(found[KVM]) if KVM in found else None,
        runners=tuple(
            judge(name, here, found, implemented, allow_emulation=vm.allow_emulation) for name in asked
        ),
        extras=extras(here) if runners is None else (),
    )


def judge(
    runner: str,
    here: Platform,
    found: Mapping[str, Finding],
    implemented: Collection[str],
    *,
    allow_emulation: bool = False,
) -> RunnerReport:
    """Return the verdict on one runner.

    Args:
        runner: Its name.
        here: The platform the findings are of.
        found: Probe name → finding, at least for all the runner needs.
        implemented: The runners this version has.
        allow_emulation: Whether QEMU may do without acceleration.
    """
    if runner not in RUNNERS:
        return _unknown(runner)
    if runner in QEMU_FAMILY:
        means = _accelerator(here)
        found = {**found, means: acceleration.for_qemu(found[means], allow_emulation=allow_emulation)}
    findings = [found[need] for need in needs(runner, here)]
    missing = [finding for finding in findings if not finding.ok]
    reason = "; ".join(finding.reason for finding in missing or findings) or f"{runner} runs anywhere"
    remedy = "; ".join(dict.fromkeys(finding.remedy for finding in missing if finding.remedy)) or None
    if runner not in implemented:
        lacking = judge_unprobed(runner, implemented)
        reason += ("; " if missing else ", but ") + lacking.reason
        remedy = remedy or lacking.remedy
    details = {key: value for finding in findings for key, value in finding.details.items()}
    ready = not missing and runner in implemented
    return RunnerReport(
        name=runner,
        ready=ready,
        reason=reason,
        remedy=remedy,
        details=details,
        missing=tuple(missing),
        implemented=runner in implemented,
    )


def judge_unprobed(runner: str, implemented: Collection[str]) -> RunnerReport:
    """Return the verdict on one runner by this version alone, whatever the host has."""
    if runner in implemented:
        return RunnerReport(name=runner, ready=True, reason="not probed")
    others = ", ".join(name for name in RUNNERS if name in implemented and name != "fake")
    remedy = f"use a runner that this version has: {others}" if others else None
    return RunnerReport(
        name=runner,
        ready=False,
        reason=f"this version has no {runner} runner yet",
        remedy=remedy,
        implemented=False,
    )


def _unknown(runner: str) -> RunnerReport:
    """Return the verdict on a name that is no runner's."""
    remedy = f"name one of {', '.join(RUNNERS)}"
    return RunnerReport(name=runner, ready=False, reason="there is no runner of that name", remedy=remedy)


def _as_kvm(finding: Finding) -> KvmReport:
    if isinstance(finding, KvmReport):
        return finding
    return KvmReport(**finding.model_dump(), device=DEVICE, state=KvmState.FAILED)
