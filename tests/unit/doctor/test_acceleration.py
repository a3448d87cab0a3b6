from __future__ import annotations

import dataclasses
import os
import signal
import time

import pytest

from gym_queue.worker.doctor.acceleration import apple_silicon, hypervisor_framework, judge_guest, probe_kvm
from gym_queue.worker.doctor.command import Ended
from gym_queue.worker.doctor.host import this_platform
from gym_queue.worker.doctor.report import KvmState

MAC = dataclasses.replace(this_platform(), system="Darwin", machine="arm64")


def test_kvm_on_this_machine_gets_a_verdict_within_the_deadline():
    started = time.monotonic()
    report = probe_kvm(this_platform(), 4.5)
    assert time.monotonic() - started < 6
    assert report.ok == (report.state is KvmState.WORKS)
    assert report.ok or "TCG" in str(report.remedy)


@pytest.mark.parametrize(
    ("ended", "state"),
    [
        (Ended(0, "opened\nalive\nran\n"), KvmState.WORKS),
        (Ended(-signal.SIGALRM, "opened\nalive\n"), KvmState.SLOW),
        (Ended(-signal.SIGALRM, "opened\n"), KvmState.STUCK),
        (Ended(None, "opened\n"), KvmState.STUCK),
        (Ended(None, ""), KvmState.FAILED),
        (Ended(1, "opened\nthe guest left with KVM exit 17, not 2\n"), KvmState.FAILED),
        (Ended(0, ""), KvmState.FAILED),
    ],
)
def test_how_far_the_guest_came_decides(ended, state):
    report = judge_guest("/dev/kvm", ended)
    assert report.state is state
    assert report.ok or "TCG" in str(report.remedy)


def test_a_guest_that_never_comes_out_is_said_to_make_no_progress():
    assert judge_guest("/dev/kvm", Ended(None, "opened\n")).reason == (
        "/dev/kvm opens, but a guest made no progress in 2 s"
    )


def test_a_missing_device_is_absent(linux, tmp_path):
    report = probe_kvm(linux, 4, device=str(tmp_path / "kvm"))
    assert (report.ok, report.state) == (False, KvmState.ABSENT)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is denied to root")
def test_a_device_of_others_is_denied_and_names_the_group(linux, tmp_path):
    device = tmp_path / "kvm"
    device.touch(mode=0)
    report = probe_kvm(linux, 4, device=str(device))
    assert report.state is KvmState.DENIED
    assert "usermod -aG kvm" in str(report.remedy)


def test_a_device_that_is_not_kvm_fails_with_the_systems_words(linux, tmp_path):
    device = tmp_path / "kvm"
    device.touch()
    report = probe_kvm(linux, 4, device=str(device))
    assert report.state is KvmState.FAILED
    assert "no guest can be run" in report.reason


def test_on_another_architecture_the_probe_cannot_judge(linux, tmp_path):
    device = tmp_path / "kvm"
    device.touch()
    report = probe_kvm(dataclasses.replace(linux, machine="aarch64"), 4, device=str(device))
    assert (report.ok, report.state) == (False, KvmState.UNKNOWN)
    assert "can't judge" in report.reason


def test_macos_has_no_kvm():
    assert probe_kvm(MAC, 4).reason == "Darwin has no KVM"


def test_a_mac_with_hypervisor_framework_can_accelerate(make_program):
    make_program("sysctl", "echo 1")
    assert apple_silicon(MAC, 4).ok


def test_a_mac_without_it_cannot(make_program):
    make_program("sysctl", "echo 0")
    assert not hypervisor_framework(MAC, 4).ok


def test_linux_is_no_place_for_avf(linux):
    assert "only on macOS on arm64" in apple_silicon(linux, 4).reason
