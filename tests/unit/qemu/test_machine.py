"""The command line of a machine: a pure function of what it is made of."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gym_queue.errors import NotSupported, RunnerUnavailable
from gym_queue.runners.qemu.allowlist import targets_of
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.machine import GIB, Launch, Machine, command_line, find_uefi, machine_for
from gym_queue.specs.env import EnvSpec

LINUX = Image(
    name="debian-x11",
    digest="sha256:00",
    disk=Path("/images/disk.qcow2"),
    kernel=Path("/images/vmlinuz"),
    initrd=Path("/images/initrd"),
    append="root=/dev/vda",
    os_type="linux",
    architecture="x86_64",
    firmware="direct",
    display=":0",
    user="ga",
    virtual_bytes=8 << 30,
    disk_bytes=1 << 30,
)
MACHINE = Machine("x86_64", "tcg", 2, GIB, (1280, 720))


def option(arguments: list[str], name: str) -> list[str]:
    """Return the values of an option."""
    return [value for key, value in pairwise(arguments) if key == name]


def spec(**fields: Any) -> EnvSpec:
    shown = {"id": "machine", "observation": [{"type": "rgb_screen"}], "action": [{"type": "mouse"}]}
    return EnvSpec.model_validate({**shown, **fields})


def test_a_machine_has_processors_memory_and_acceleration() -> None:
    line = command_line(Launch(MACHINE, LINUX))
    assert line[0] == "qemu-system-x86_64"
    assert option(line, "-accel") == ["tcg,thread=multi,tb-size=128"]
    assert option(line, "-smp") == ["2"]
    assert option(line, "-m") == ["1024M"]


@pytest.mark.parametrize(("acceleration", "cpu"), [("tcg", "max"), ("kvm", "host"), ("hvf", "host")])
def test_the_processor_is_the_hosts_where_something_accelerates(acceleration: str, cpu: str) -> None:
    assert option(command_line(Launch(replace(MACHINE, acceleration=acceleration), LINUX)), "-cpu") == [cpu]


def test_a_kernel_is_booted_directly_with_its_console_on_the_serial_port() -> None:
    line = command_line(Launch(MACHINE, LINUX))
    assert option(line, "-kernel") == ["/images/vmlinuz"]
    assert option(line, "-append") == ["root=/dev/vda console=ttyS0"]


def test_an_image_with_a_bootloader_is_given_no_kernel() -> None:
    line = command_line(Launch(MACHINE, replace(LINUX, kernel=None, initrd=None, firmware="bios")))
    assert "-kernel" not in line
    assert "-append" not in line


def test_an_image_that_boots_by_uefi_gets_the_hosts_firmware(tmp_path: Path) -> None:
    image = replace(LINUX, kernel=None, initrd=None, firmware="uefi")
    (tmp_path / "OVMF.fd").touch()
    found = find_uefi(image, [tmp_path / "none.fd", tmp_path / "OVMF.fd"])
    assert option(command_line(Launch(MACHINE, image, uefi=found)), "-bios") == [str(tmp_path / "OVMF.fd")]
    assert find_uefi(LINUX, []) is None
    with pytest.raises(RunnerUnavailable, match="apt-get install ovmf"):
        find_uefi(image, [])


def test_memory_is_anonymous_shared_or_copied_on_write() -> None:
    assert "memory-backend-ram" in option(command_line(Launch(MACHINE, LINUX)), "-object")[0]
    mapped = option(command_line(Launch(MACHINE, LINUX, ram=Path("/kept,1/ram"))), "-object")[0]
    assert "mem-path=/kept,,1/ram" in mapped
    assert mapped.endswith("share=off")
    shared = option(command_line(Launch(MACHINE, LINUX, ram=Path("/ram"), is_ram_shared=True)), "-object")[0]
    assert shared.endswith("share=on")


def test_there_is_no_network_unless_asked() -> None:
    line = command_line(Launch(MACHINE, LINUX))
    assert option(line, "-nic") == ["none"]
    assert "-netdev" not in line


def test_a_network_reaches_out_and_forwards_only_to_this_host() -> None:
    machine = replace(MACHINE, has_network=True)
    (net,) = option(command_line(Launch(machine, LINUX, forwards=((4022, 22),))), "-netdev")
    assert "restrict=off" in net
    assert "hostfwd=tcp:127.0.0.1:4022-:22" in net


def test_a_list_of_allowed_hosts_closes_the_network_but_for_them() -> None:
    launch = Launch(replace(MACHINE, has_network=True), LINUX, allowed=targets_of(["mirror.test:80"]))
    (net,) = option(command_line(launch), "-netdev")
    assert "restrict=on" in net
    assert "guestfwd=tcp:10.0.2.20:80-cmd:" in net
    assert net.endswith("mirror.test 80")


def test_the_screen_is_of_the_specs_resolution_with_room_for_two_frames() -> None:
    devices = option(command_line(Launch(MACHINE, LINUX)), "-device")
    assert "VGA,edid=on,xres=1280,yres=720,vgamem_mb=16" in devices
    large = option(command_line(Launch(replace(MACHINE, resolution=(3840, 2160)), LINUX)), "-device")
    assert "VGA,edid=on,xres=3840,yres=2160,vgamem_mb=64" in large


def test_windows_gets_devices_it_has_drivers_for() -> None:
    devices = option(command_line(Launch(replace(MACHINE, os_type="windows"), LINUX)), "-device")
    assert "usb-tablet" in devices
    assert not any("virtio-blk" in device or "virtio-tablet" in device for device in devices)


def test_the_vnc_password_is_in_a_file_and_not_on_the_command_line() -> None:
    line = command_line(Launch(MACHINE, LINUX, has_vnc_password=True))
    assert option(line, "-vnc") == ["unix:vnc.sock,share=force-shared,password-secret=vnc"]
    assert "secret,id=vnc,file=vnc.password" in option(line, "-object")


def test_a_spec_says_processors_memory_network_and_screen() -> None:
    asked = spec(
        resources={"cpu": 1.5, "mem_gb": 2.5, "net": True},
        observation=[{"type": "rgb_screen", "resolution": [800, 600]}],
    )
    assert machine_for(asked, LINUX, "kvm") == Machine(
        "x86_64", "kvm", 2, int(2.5 * GIB), (800, 600), has_network=True
    )


def test_a_gpu_is_refused() -> None:
    with pytest.raises(NotSupported, match="passes none through"):
        machine_for(spec(resources={"gpu": 1}), LINUX, "kvm")


def test_an_image_of_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(RunnerUnavailable, match="riscv64"):
        machine_for(spec(), replace(LINUX, architecture="riscv64"), "tcg")


def test_machines_of_one_kind_have_one_digest_and_others_another() -> None:
    digest = MACHINE.digest(LINUX, "QEMU 7.2")
    assert digest == replace(MACHINE).digest(LINUX, "QEMU 7.2")
    others = (
        replace(MACHINE, memory_bytes=2 * GIB).digest(LINUX, "QEMU 7.2"),
        MACHINE.digest(replace(LINUX, digest="sha256:01"), "QEMU 7.2"),
        MACHINE.digest(LINUX, "QEMU 8.0"),
    )
    assert digest not in others
    assert len(set(others)) == len(others)
