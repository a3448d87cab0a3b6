from __future__ import annotations

import dataclasses
import time

from gym_queue.runners.qemu.acceleration import KvmState
from gym_queue.worker.doctor.acceleration import apple_silicon, for_qemu, hypervisor_framework, probe_kvm
from gym_queue.worker.doctor.host import this_platform
from gym_queue.worker.doctor.report import Finding

MAC = dataclasses.replace(this_platform(), system="Darwin", machine="arm64")


def test_kvm_on_this_machine_gets_a_verdict_within_the_deadline():
    started = time.monotonic()
    report = probe_kvm(this_platform(), 4.5)
    assert time.monotonic() - started < 6
    assert report.ok == (report.state is KvmState.WORKS)
    assert report.ok or report.remedy


def test_a_missing_device_is_absent(linux, tmp_path):
    report = probe_kvm(linux, 4, device=str(tmp_path / "kvm"))
    assert (report.ok, report.state, report.details) == (False, KvmState.ABSENT, {"kvm": "absent"})


def test_a_mac_with_hypervisor_framework_can_accelerate(make_program):
    make_program("sysctl", "echo 1")
    assert apple_silicon(MAC, 4).ok
    assert hypervisor_framework(MAC, 4).details == {"acceleration": "hvf"}


def test_a_mac_without_it_cannot(make_program):
    make_program("sysctl", "echo 0")
    assert not hypervisor_framework(MAC, 4).ok


def test_linux_is_no_place_for_avf(linux):
    assert "only on macOS on arm64" in apple_silicon(linux, 4).reason


def test_qemu_without_acceleration_names_the_flag_that_allows_emulation_and_what_it_costs():
    missing = Finding(ok=False, reason="there is no /dev/kvm", remedy="modprobe kvm_intel")
    found = for_qemu(missing, allow_emulation=False)
    assert not found.ok
    assert "modprobe kvm_intel; or --allow-emulation" in str(found.remedy)
    assert "ten times slower" in str(found.remedy)


def test_qemu_may_be_emulated_where_the_operator_lets_it():
    missing = Finding(ok=False, reason="there is no /dev/kvm", details={"kvm": "absent"})
    found = for_qemu(missing, allow_emulation=True)
    assert found.ok
    assert found.details == {"kvm": "absent", "acceleration": "tcg"}
    assert "some ten times slower: there is no /dev/kvm" in found.reason


def test_what_is_accelerated_is_not_emulated():
    works = Finding(ok=True, reason="/dev/kvm runs guests", details={"acceleration": "kvm"})
    assert for_qemu(works, allow_emulation=True) == works
