"""What a virtual machine is made of, and the command line that makes it: pure, and the same for a boot and a restore."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gym_queue.errors import NotSupported, RunnerUnavailable
from gym_queue.runners.qemu.allowlist import FORWARDER, Target
from gym_queue.runners.qemu.images.model import Image
from gym_queue.specs.env import EnvSpec

DEFAULT_MEMORY_GB = 1.0
DEFAULT_CPUS = 2
GIB = 1 << 30
PAGE_BYTES = 2 << 20
"""Memory is a multiple of this, as large pages ask for."""

MONITOR, CAMERA_MONITOR, AGENT, HELPER, VNC = (
    "qmp.sock",
    "camera.sock",
    "agent.sock",
    "guest.sock",
    "vnc.sock",
)
"""Sockets in the machine's own folder, which QEMU starts in: their paths have no room for longer ones (unix(7))."""
DISK, VNC_PASSWORD = "disk.qcow2", "vnc.password"
AGENT_PORT, HELPER_PORT = "org.qemu.guest_agent.0", "gym.guest.0"
"""Names of the virtio-serial ports, as the guest sees them in /dev/virtio-ports."""
HELPER_ID = "helper"
"""Of the port, in events."""
GUEST_SSH_PORT, GUEST_ADB_PORT = 22, 5555

UEFI_FIRMWARE = (
    Path("/usr/share/ovmf/OVMF.fd"),
    Path("/usr/share/OVMF/OVMF.fd"),
    Path("/usr/share/edk2/ovmf/OVMF.fd"),
    Path("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
    Path("/opt/homebrew/share/qemu/edk2-x86_64-code.fd"),
)
"""One file of code and variables, as -bios takes it."""

TRANSLATED_MIB = 128
"""What an emulated machine keeps of translated code. Measured: QEMU's own choice (a gigabyte here) grows to 240 MiB
after a minute and is 15 % faster; a quarter of this takes twice as long."""

_BINARIES: Mapping[str, str] = {"x86_64": "qemu-system-x86_64", "aarch64": "qemu-system-aarch64"}
_TYPES: Mapping[str, str] = {"x86_64": "q35,vmport=off,hpet=off", "aarch64": "virt"}
_CONSOLES: Mapping[str, str] = {"x86_64": "ttyS0", "aarch64": "ttyAMA0"}
_ACCELERATORS: Mapping[str, str] = {
    "kvm": "kvm",
    "hvf": "hvf",
    "tcg": f"tcg,thread=multi,tb-size={TRANSLATED_MIB}",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine; those that are equal can be restored from one another's memory."""

    architecture: str
    """x86_64 or aarch64."""
    acceleration: str
    """kvm, hvf or tcg."""
    cpus: int
    memory_bytes: int
    resolution: tuple[int, int]
    """width, height of the screen in pixels."""
    has_network: bool = False
    """Whether there is a network card; where it leads is no part of the machine."""
    os_type: str = "linux"

    @property
    def binary(self) -> str:
        """The program that runs it."""
        return _BINARIES[self.architecture]

    def digest(self, image: Image, qemu_version: str, helper: str = "") -> str:
        """Return what tells machines apart whose memory cannot be exchanged.

        Args:
            image: What they booted from.
            qemu_version: Of the program; devices of another one may have another state.
            helper: Digest of our program that runs inside.

        Returns:
            32 hexadecimal digits.
        """
        facts = {
            **asdict(self),
            "image": image.digest,
            "qemu": qemu_version,
            "devices": DEVICES_VERSION,
            "helper": helper,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


DEVICES_VERSION = 2
"""Raised with every change of the devices below."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of a machine."""

    machine: Machine
    image: Image
    ram: Path | None = None
    """File that the memory is mapped from; None is memory that nobody can keep."""
    is_ram_shared: bool = False
    """Whether what the guest writes goes into the file; otherwise the file is only read."""
    is_incoming: bool = False
    """Whether it waits for another machine's state."""
    uefi: Path | None = None
    """Firmware that boots an image which asks for UEFI (``find_uefi``)."""
    allowed: tuple[Target, ...] | None = None
    """What alone the guest reaches; None is everything, where there is a network."""
    forwards: tuple[tuple[int, int], ...] = ()
    """Ports of this host's loopback, and those of the guest that they lead to."""
    name: str = "gym-queue"
    has_vnc_password: bool = False
    """Whether VNC asks for what is written in VNC_PASSWORD."""


def machine_for(spec: EnvSpec, image: Image, acceleration: str) -> Machine:
    """Return the machine that a spec asks for.

    Args:
        spec: Its ``resources`` and the resolution of its screen count.
        image: What it boots.
        acceleration: What runs here.

    Raises:
        NotSupported: It asks for a GPU.
        RunnerUnavailable: The image is for another architecture than this version knows.
    """
    resources = spec.resources
    if image.architecture not in _BINARIES:
        raise RunnerUnavailable(
            f"the image {image.name} is for {image.architecture}: machines of {' and '.join(_BINARIES)} can be run"
        )
    if resources.gpu:
        raise NotSupported(
            f"the environment {spec.id} asks for {resources.gpu} GPUs, and the qemu runner passes none through: "
            "use the docker runner, or set resources.gpu to 0"
        )
    memory = (resources.mem_gb or DEFAULT_MEMORY_GB) * GIB
    return Machine(
        image.architecture,
        acceleration,
        cpus=math.ceil(resources.cpu or DEFAULT_CPUS),
        memory_bytes=math.ceil(memory / PAGE_BYTES) * PAGE_BYTES,
        resolution=spec.resolution,
        has_network=bool(resources.net),
        os_type=image.os_type,
    )


def find_uefi(image: Image, candidates: Sequence[Path] = UEFI_FIRMWARE) -> Path | None:
    """Return the firmware for an image that boots by UEFI; None for one that needs none.

    Args:
        image: It.
        candidates: Where distributions put it.

    Raises:
        RunnerUnavailable: It needs one, and there is none here.
    """
    if image.firmware != "uefi":
        return None
    for path in candidates:
        if path.is_file():
            return path
    raise RunnerUnavailable(
        f"the image {image.name} boots by UEFI, and this host has no firmware for it: apt-get install ovmf"
    )


def command_line(launch: Launch) -> list[str]:
    """Return the arguments that start a machine; sockets and disk lie in the folder it is started in."""
    return [
        launch.machine.binary,
        *("-name", launch.name, "-nodefaults", "-no-user-config", "-display", "none"),
        *("-action", "panic=pause"),
        *("-sandbox", _confinement(launch)),
        *_board(launch),
        *_firmware(launch),
        *_devices(launch.machine),
        *_network(launch),
        *_sockets(launch),
        *(("-incoming", "defer") if launch.is_incoming else ()),
    ]


def _confinement(launch: Launch) -> str:
    """Return what QEMU may ask of the kernel: programs and sessions of their own only for allowed hosts' connections."""
    starts = "allow" if launch.allowed else "deny"
    return f"on,obsolete=deny,resourcecontrol=deny,spawn={starts},elevateprivileges={starts}"


def _board(launch: Launch) -> list[str]:
    machine, mib = launch.machine, launch.machine.memory_bytes >> 20
    if launch.ram is None:
        backend = f"memory-backend-ram,id=ram,size={mib}M"
    else:
        share = "on" if launch.is_ram_shared else "off"
        path = str(launch.ram).replace(",", ",,")
        backend = f"memory-backend-file,id=ram,size={mib}M,mem-path={path},share={share}"
    cpu = "max" if machine.acceleration == "tcg" else "host"
    return [
        *("-machine", f"{_TYPES[machine.architecture]},memory-backend=ram", "-object", backend),
        *("-accel", _ACCELERATORS[machine.acceleration], "-cpu", cpu),
        *("-smp", str(machine.cpus), "-m", f"{mib}M"),
    ]


def _firmware(launch: Launch) -> list[str]:
    image = launch.image
    if image.kernel is None:
        return ["-bios", str(launch.uefi)] if launch.uefi is not None else []
    console = _CONSOLES[launch.machine.architecture]
    options = ["-kernel", str(image.kernel)]
    if image.initrd is not None:
        options += ["-initrd", str(image.initrd)]
    return [*options, "-append", f"{image.append} console={console}".strip()]


def _devices(machine: Machine) -> list[str]:
    return [
        # cache=unsafe: what a crash of the host would lose is lost with the environment anyway
        *("-drive", f"file={DISK},if=none,id=disk,format=qcow2,cache=unsafe,discard=unmap"),
        *("-device", _disk_device(machine)),
        *("-device", _video_device(machine)),
        *_input_devices(machine),
        *(
            "-device",
            "virtio-serial-pci,id=serial",
            "-device",
            "virtio-rng-pci",
            "-device",
            "pvpanic-pci,events=1",
        ),
        *("-chardev", f"socket,id=agent,path={AGENT},server=on,wait=off"),
        *("-device", f"virtserialport,bus=serial.0,chardev=agent,name={AGENT_PORT}"),
        *("-chardev", f"socket,id=helper,path={HELPER},server=on,wait=off"),
        *("-device", f"virtserialport,bus=serial.0,chardev=helper,name={HELPER_PORT},id={HELPER_ID}"),
        *("-device", "vmgenid,guid=auto"),
        *("-rtc", "base=utc,clock=host", "-serial", "stdio"),
    ]


def _video_device(machine: Machine) -> str:
    """Return a card whose pointer is in the pixels (VGA has no plane for it), with room for two frames."""
    width, height = machine.resolution
    screen = f"edid=on,xres={width},yres={height}"
    if machine.architecture != "x86_64":
        return f"virtio-gpu-pci,{screen}"
    mib = max(16, 1 << (2 * width * height * 4 - 1).bit_length() >> 20)
    return f"VGA,{screen},vgamem_mb={mib}"


def _disk_device(machine: Machine) -> str:
    if machine.os_type == "windows":  # which boots without drivers of virtio
        return "ide-hd,drive=disk,bus=ide.0"
    return "virtio-blk-pci,drive=disk"


def _input_devices(machine: Machine) -> list[str]:
    if machine.os_type == "windows":
        return ["-device", "qemu-xhci,id=usb", "-device", "usb-tablet", "-device", "usb-kbd"]
    return ["-device", "virtio-tablet-pci", "-device", "virtio-keyboard-pci"]


def _network(launch: Launch) -> list[str]:
    if not launch.machine.has_network:
        return ["-nic", "none"]
    options = ["user", "id=net", f"restrict={'off' if launch.allowed is None else 'on'}"]
    options += [f"hostfwd=tcp:127.0.0.1:{here}-:{inside}" for here, inside in launch.forwards]
    options += [
        f"guestfwd=tcp:{each.address}:{each.port}-cmd:{_forwarder(each)}" for each in launch.allowed or ()
    ]
    card = "e1000e" if launch.machine.os_type == "windows" else "virtio-net-pci"
    return ["-netdev", ",".join(options), "-device", f"{card},netdev=net,romfile="]


def _forwarder(target: Target) -> str:
    """Return the command that carries one connection, as an option's value is written."""
    words = [sys.executable, "-I", "-S", str(FORWARDER), target.host, str(target.port)]
    return shlex.join(words).replace(",", ",,")


def _sockets(launch: Launch) -> list[str]:
    monitors = (("monitor", MONITOR), ("camera", CAMERA_MONITOR))
    options = []
    for name, path in monitors:
        options += ["-chardev", f"socket,id={name},path={path},server=on,wait=off"]
        options += ["-mon", f"chardev={name},mode=control"]
    if launch.has_vnc_password:
        options += ["-object", f"secret,id=vnc,file={VNC_PASSWORD}"]
    password = ",password-secret=vnc" if launch.has_vnc_password else ""
    return [*options, "-vnc", f"unix:{VNC},share=force-shared{password}"]
