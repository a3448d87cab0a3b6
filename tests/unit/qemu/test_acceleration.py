"""What machines run by: seen, allowed, or refused."""

from __future__ import annotations

import os
import platform
import signal
from pathlib import Path

import pytest

from gym_queue.errors import RunnerUnavailable
from gym_queue.runners.base import VmOptions
from gym_queue.runners.command import Ended
from gym_queue.runners.qemu.acceleration import (
    KvmState,
    architecture_of,
    choose_acceleration,
    judge_guest,
    notes_on,
    probe_hvf,
    probe_kvm,
)


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
def test_how_far_the_guest_came_decides(ended: Ended, state: KvmState) -> None:
    verdict = judge_guest("/dev/kvm", ended)
    assert (verdict.state, verdict.ok) == (state, state is KvmState.WORKS)
    assert verdict.ok or verdict.remedy


def test_a_guest_that_never_comes_out_is_said_to_make_no_progress() -> None:
    reason = judge_guest("/dev/kvm", Ended(None, "opened\n")).reason
    assert reason == "/dev/kvm opens, but a guest made no progress in 2 s"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is denied to root")
def test_a_device_of_others_is_denied_and_names_the_group(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch(mode=0)
    verdict = probe_kvm("Linux", "x86_64", timeout_s=4, device=str(device))
    assert verdict.state is KvmState.DENIED
    assert "usermod -aG kvm" in verdict.remedy


def test_a_device_that_is_not_kvm_fails_with_the_systems_words(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch()
    verdict = probe_kvm("Linux", "x86_64", timeout_s=4, device=str(device))
    assert verdict.state is KvmState.FAILED
    assert "no guest can be run" in verdict.reason


def test_on_another_architecture_the_probe_cannot_judge(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch()
    verdict = probe_kvm("Linux", "aarch64", timeout_s=4, device=str(device))
    assert (verdict.ok, verdict.state) == (False, KvmState.UNKNOWN)
    assert "can't judge" in verdict.reason


def test_macos_has_no_kvm_and_linux_no_hypervisor_framework() -> None:
    assert probe_kvm("Darwin", "arm64", timeout_s=4).reason == "Darwin has no KVM"
    assert probe_hvf("Linux", 4).reason == "Linux has no Hypervisor.framework"


def test_an_acceleration_that_the_doctor_saw_is_taken_without_a_look() -> None:
    assert choose_acceleration(VmOptions(acceleration="kvm")) == "kvm"
    assert choose_acceleration(VmOptions(acceleration="tcg")) == "tcg"


def test_without_acceleration_emulation_is_allowed_or_the_refusal_names_the_flag() -> None:
    here = choose_acceleration(VmOptions(allow_emulation=True))
    if here != "tcg":
        assert choose_acceleration(VmOptions()) == here
        return
    with pytest.raises(RunnerUnavailable, match=r"--allow-emulation .*ten times slower") as caught:
        choose_acceleration(VmOptions())
    assert "\n" not in caught.value.message


def test_a_machine_for_another_processor_is_emulated_or_refused_whatever_accelerates_here() -> None:
    other = "aarch64" if architecture_of(platform.machine()) == "x86_64" else "x86_64"
    assert choose_acceleration(VmOptions("kvm", allow_emulation=True), architecture=other) == "tcg"
    with pytest.raises(RunnerUnavailable, match=f"{other} can only be emulated .*--allow-emulation"):
        choose_acceleration(VmOptions("kvm"), architecture=other)
    own = architecture_of(platform.machine())
    assert choose_acceleration(VmOptions("kvm"), architecture=own) == "kvm"


def test_an_emulated_machine_is_said_to_be_slow() -> None:
    (note,) = notes_on("tcg")
    assert "emulated" in note
    assert notes_on("kvm") == ()
