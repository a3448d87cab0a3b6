"""Runs one tiny guest by KVM's ioctls, to learn whether guests really run here: ``python -I kvm.py``.

The device can open, and accept every call, on hosts where a guest never runs an instruction, or where the
kernel interprets each one (about a million a second: too slow to boot anything). KVM_RUN may also block for
ever. So this is a program of its own, ended by its own alarm, and needs nothing but the standard library.
Numbers and layouts: the kernel's Documentation/virt/kvm/api.rst and arch/x86/include/uapi/asm/kvm.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import signal
import struct
import sys

DEVICE = "/dev/kvm"
PROGRESS_S = 2.0
"""How long the guest may take; a processor that runs it itself takes about 0.02 s."""
TURNS = 20_000_000
"""Turns of the guest's loop."""
OPENED, ALIVE, RAN = "opened", "alive", "ran"
"""Lines printed: the guest is set up; it has run its first instructions; it has run its last."""

_API_VERSION = 12
_GET_API_VERSION, _CREATE_VM, _GET_VCPU_MMAP_SIZE = 0xAE00, 0xAE01, 0xAE04
_CREATE_VCPU, _SET_USER_MEMORY_REGION, _SET_TSS_ADDR = 0xAE41, 0x4020AE46, 0xAE47
_RUN, _SET_REGS, _GET_SREGS, _SET_SREGS = 0xAE80, 0x4090AE82, 0x8138AE83, 0x4138AE84
_REGS_U64S, _SREGS_BYTES, _RIP, _RFLAGS = 18, 312, 16, 17
_CS_BASE, _CS_SELECTOR, _EXIT_REASON = 0, 12, 8  # offsets: two in kvm_sregs, one in kvm_run
_TSS_ADDRESS = 0x7FFBD000  # three pages the guest does not use; Intel needs them
_EXIT_IO, _EXIT_HLT = 2, 5

_PAGE_BYTES, _LOADED_AT = 4096, 0x1000
_CODE = b"".join(
    (
        bytes.fromhex("ba f803  b0 4b  ee"),  # mov dx, 0x3f8; mov al, 'K'; out dx, al
        bytes.fromhex("66 b9") + struct.pack("<I", TURNS),  # mov ecx, TURNS
        bytes.fromhex("66 49  75 fc  f4"),  # again: dec ecx; jnz again; hlt
    )
)


def run_guest(device: str) -> None:
    """Run the guest, and print how far it came; SIGALRM ends the process after ``PROGRESS_S`` seconds.

    Args:
        device: Path of the KVM device.

    Raises:
        OSError: The device does not open, a call on it fails, or the guest ended as no such guest should.
    """
    kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    version = fcntl.ioctl(kvm, _GET_API_VERSION, 0)
    if version != _API_VERSION:
        raise OSError(f"KVM speaks API version {version}, not {_API_VERSION}")
    vm = fcntl.ioctl(kvm, _CREATE_VM, 0)
    fcntl.ioctl(vm, _SET_TSS_ADDR, _TSS_ADDRESS)
    memory = mmap.mmap(-1, _PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.write(_CODE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(vm, _SET_USER_MEMORY_REGION, struct.pack("=IIQQQ", 0, 0, _LOADED_AT, _PAGE_BYTES, address))
    vcpu = fcntl.ioctl(vm, _CREATE_VCPU, 0)
    state = mmap.mmap(vcpu, fcntl.ioctl(kvm, _GET_VCPU_MMAP_SIZE, 0))
    _point_at_code(vcpu)
    _say(OPENED)
    signal.setitimer(signal.ITIMER_REAL, PROGRESS_S)
    _run_until(vcpu, state, _EXIT_IO)
    _say(ALIVE)
    _run_until(vcpu, state, _EXIT_HLT)
    _say(RAN)


def _point_at_code(vcpu: int) -> None:
    segments = bytearray(_SREGS_BYTES)
    fcntl.ioctl(vcpu, _GET_SREGS, segments)
    struct.pack_into("=Q", segments, _CS_BASE, 0)
    struct.pack_into("=H", segments, _CS_SELECTOR, 0)
    fcntl.ioctl(vcpu, _SET_SREGS, segments)
    registers = [0] * _REGS_U64S
    registers[_RIP], registers[_RFLAGS] = _LOADED_AT, 2  # bit 1 of rflags is always set
    fcntl.ioctl(vcpu, _SET_REGS, struct.pack(f"={_REGS_U64S}Q", *registers))


def _run_until(vcpu: int, state: mmap.mmap, expected: int) -> None:
    fcntl.ioctl(vcpu, _RUN, 0)
    (reason,) = struct.unpack_from("=I", state, _EXIT_REASON)
    if reason != expected:
        raise OSError(f"the guest left with KVM exit {reason}, not {expected}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        run_guest(sys.argv[1] if len(sys.argv) > 1 else DEVICE)
    except OSError as error:
        sys.exit(error.strerror or str(error))
