"""Bringing a machine up: from a checkpoint, from one that has booted already, or by a boot."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gym_queue.errors import NotSupported, RunnerFailed
from gym_queue.runners.accounts import make_accounts
from gym_queue.runners.base import CheckpointDamaged, RunnerSetup
from gym_queue.runners.processes import ENV_MARK
from gym_queue.runners.qemu.acceleration import choose_acceleration, notes_on
from gym_queue.runners.qemu.allowlist import Target, targets_of
from gym_queue.runners.qemu.booted import BOOTED, BootedMachines, prefix_of
from gym_queue.runners.qemu.checkpoints import QemuCheckpoints, kind_of
from gym_queue.runners.qemu.guest.choose import GuestPlaces, open_guest
from gym_queue.runners.qemu.guest.protocol import Guest, GuestSetup
from gym_queue.runners.qemu.images.choose import choose_image
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.images.store import ImageStore
from gym_queue.runners.qemu.machine import (
    AGENT,
    GUEST_ADB_PORT,
    GUEST_SSH_PORT,
    HELPER,
    Launch,
    Machine,
    find_uefi,
    machine_for,
)
from gym_queue.runners.qemu.snapshots import Snapshot, freeze, restore
from gym_queue.runners.qemu.vm import PortTaken, Vm

logger = logging.getLogger(__name__)

BOOT_TIMEOUT_S = 120.0
EMULATED_BOOT_TIMEOUT_S = 600.0
"""On a host whose cores are all taken a boot of one minute takes many."""
ANSWER_TIMEOUT_S = 60.0
"""How long the agent of a machine that runs already may take to answer."""
DESKTOP_TIMEOUT_S = 180.0
PORT_TRIES = 3
WAIT_FOR_DESKTOP = """\
export DISPLAY={display}
until [ -S {socket} ]; do sleep 0.2; done
command -v xprop >/dev/null || exit 0
for turn in $(seq 100); do
  xprop -root _NET_SUPPORTING_WM_CHECK 2>/dev/null | grep -q '#' && exit 0
  sleep 0.2
done
"""
"""Waits for the X server, and for a window manager if one comes (EWMH: it sets that property)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to run."""

    image: Image
    machine: Machine
    allowed: tuple[Target, ...] | None
    notes: tuple[str, ...]
    kind: str
    """Digest of image and machine: those of one kind start from one another's memory."""
    uefi: Path | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A machine that runs, and the way into it."""

    vm: Vm
    guest: Guest
    places: GuestPlaces
    is_prepared: bool
    """Whether it holds what an earlier environment made of it: its accounts."""
    is_running_on: bool
    """Whether its programs run on from an earlier environment."""


def plan_machine(setup: RunnerSetup) -> Plan:
    """Return what a setup asks for.

    Raises:
        SpecNotFound, RunnerFailed: There is no such image, or it is damaged.
        RunnerUnavailable: Nothing here can run it.
        NotSupported: It asks for what no machine has.
    """
    spec = setup.spec
    image, notes = choose_image(spec, ImageStore(setup.vm.image_dir))
    acceleration = choose_acceleration(setup.vm, architecture=image.architecture)
    allowlist = spec.security.network_allowlist
    allowed = targets_of(allowlist) if allowlist and spec.resources.net else None
    if allowed is not None and image.os_type != "linux":
        raise NotSupported(
            f"security.network_allowlist: only a Linux guest is told where its hosts are, and {image.name} is {image.os_type}"
        )
    machine = machine_for(spec, image, acceleration)
    notes = (*notes, *notes_on(acceleration))
    return Plan(image, machine, allowed, notes, kind_of(image, machine), find_uefi(image))


class Starter:
    """Brings the machine of one environment up.

    Args:
        setup: The environment's.
        plan: What to run.
        adopt: Takes every machine before it starts, so that a close can end it; raises when that came first.
        check_open: Raises when a close came.
    """

    def __init__(
        self, setup: RunnerSetup, plan: Plan, adopt: Callable[[Vm], None], check_open: Callable[[], None]
    ) -> None:
        self._setup, self._plan, self._adopt, self._check_open = setup, plan, adopt, check_open
        self._folder = setup.work_dir.absolute() / "vm"

    def start(self) -> Running:
        """Start the machine; returns when commands can be run inside.

        Raises:
            RunnerFailed: It does not start, or does not boot.
        """
        for _ in range(PORT_TRIES):
            try:
                return self._start()
            except PortTaken as error:
                logger.info("%s: trying another", error)
        return self._start()

    def _start(self) -> Running:
        if self._setup.checkpoint is not None:
            return self._from_checkpoint(self._setup.checkpoint)
        if not self._setup.vm.keep_booted:
            return self._boot(self._plan.image.disk)
        return self._from_booted()

    def open_guest(self, running: Running) -> Guest:
        """Return a new way into a machine that was booted again from inside."""
        return self._enter(running.vm, running.places, self._guest_setup(running.vm), is_restored=False)

    def _from_checkpoint(self, key: str) -> Running:
        folder = self._setup.checkpoint_dir
        if folder is None:
            raise RunnerFailed(f"the checkpoint {key} cannot be found: this worker keeps none")
        snapshot = QemuCheckpoints(folder).find(key)
        if not snapshot.is_machine:
            return self._boot(snapshot.disk, is_prepared=True)
        if snapshot.kind != self._plan.kind:
            raise RunnerFailed(
                f"the saved machine {key} is of another image, machine or version than this environment's: "
                "load it in the one that saved it, or reset without it"
            )
        return self._restore(snapshot, is_prepared=True)

    def _from_booted(self) -> Running:
        booted = BootedMachines(ImageStore(self._setup.vm.image_dir).folder / BOOTED)
        memory_bytes = self._plan.machine.memory_bytes
        name = f"{prefix_of(self._plan.image.digest)}-{self._plan.kind}"
        snapshot = booted.get(name, memory_bytes, self._boot_to_keep)
        try:
            return self._restore(snapshot)
        except CheckpointDamaged as error:
            logger.warning("the booted machine %s cannot be started from, and goes: %s", name, error)
            booted.forget(snapshot)
        return self._restore(booted.get(name, memory_bytes, self._boot_to_keep))

    def _boot_to_keep(self, snapshot: Snapshot) -> None:
        vm = self._new_vm("boot", self._launch(ram=snapshot.ram, is_ram_shared=True))
        try:
            vm.start(self._plan.image.disk)
            guest = self._enter(vm, self._places(vm), self._root_setup(vm), is_restored=False)
            with closing(guest):
                self._wait_for_desktop(guest)
            freeze(vm, snapshot, self._plan.image.disk, self._plan.kind)
        finally:
            vm.close()

    def _boot(self, disk: Path, *, is_prepared: bool = False) -> Running:
        vm = self._new_vm("vm", self._launch(has_ports=True))
        vm.start(disk)
        running = self._move_in(vm, is_restored=False, is_prepared=is_prepared)
        self._wait_for_desktop(running.guest)
        return running

    def _restore(self, snapshot: Snapshot, *, is_prepared: bool = False) -> Running:
        will_keep = self._setup.will_keep
        ram = self._folder / "ram" if will_keep else snapshot.ram
        vm = self._new_vm(
            "vm", self._launch(ram=ram, is_ram_shared=will_keep, is_incoming=True, has_ports=True)
        )
        try:
            restore(vm, snapshot)
            return self._move_in(vm, is_restored=True, is_prepared=is_prepared)
        except BaseException:
            vm.close()
            raise

    def _move_in(self, vm: Vm, *, is_restored: bool, is_prepared: bool) -> Running:
        """Make the spec's accounts, of which one may be whom commands run as, and enter as that one."""
        places, accounts = self._places(vm), self._setup.spec.user_accounts
        answers = is_restored
        if accounts and not is_prepared and self._plan.image.os_type == "linux":
            guest = self._enter(vm, places, self._root_setup(vm), is_restored=answers)
            answers = True
            with closing(guest):
                make_accounts(accounts, partial(guest.exec, user="root"), "the virtual machine")
        guest = self._enter(vm, places, self._guest_setup(vm), is_restored=answers)
        return Running(vm, guest, places, is_prepared=is_prepared, is_running_on=is_prepared and is_restored)

    def _enter(self, vm: Vm, places: GuestPlaces, setup: GuestSetup, *, is_restored: bool) -> Guest:
        deadline_s = ANSWER_TIMEOUT_S if is_restored else self._boot_timeout_s()
        guest = open_guest(
            self._plan.image,
            self._setup.spec,
            places,
            setup,
            deadline_s=deadline_s,
            check_alive=vm.check_running,
            is_restored=is_restored,
        )
        guest.set_time(time.time())
        return guest

    def _boot_timeout_s(self) -> float:
        return EMULATED_BOOT_TIMEOUT_S if self._plan.machine.acceleration == "tcg" else BOOT_TIMEOUT_S

    def _wait_for_desktop(self, guest: Guest) -> None:
        image = self._plan.image
        if image.os_type != "linux" or not image.x_socket:
            return
        script = WAIT_FOR_DESKTOP.format(display=image.display, socket=image.x_socket)
        guest.exec(script, timeout_s=DESKTOP_TIMEOUT_S, user="root")

    def _new_vm(self, name: str, launch: Launch) -> Vm:
        vm = Vm(
            self._setup.env_id,
            self._folder.with_name(name),
            launch,
            vnc_password=self._setup.spec.vnc_password,
        )
        self._adopt(vm)
        return vm

    def _launch(
        self,
        *,
        ram: Path | None = None,
        is_ram_shared: bool = False,
        is_incoming: bool = False,
        has_ports: bool = False,
    ) -> Launch:
        return Launch(
            self._plan.machine,
            self._plan.image,
            ram=ram,
            is_ram_shared=is_ram_shared,
            is_incoming=is_incoming,
            uefi=self._plan.uefi,
            allowed=self._plan.allowed,
            forwards=self._forwards() if has_ports else (),
            name=f"gym-queue-{self._setup.env_id}",
            has_vnc_password=self._setup.spec.vnc_password is not None,
        )

    def _forwards(self) -> tuple[tuple[int, int], ...]:
        """Return ports for the guests that are entered by one: of Android, and of images without an agent."""
        if not self._plan.machine.has_network:
            return ()
        if self._plan.image.os_type == "android":
            return ((_free_port(), GUEST_ADB_PORT),)
        return ((_free_port(), GUEST_SSH_PORT),) if self._setup.spec.ssh else ()

    def _places(self, vm: Vm) -> GuestPlaces:
        ports = {inside: here for here, inside in vm.launch.forwards}
        return GuestPlaces(
            vm.folder / AGENT, vm.folder / HELPER, ports.get(GUEST_SSH_PORT), ports.get(GUEST_ADB_PORT)
        )

    def _guest_setup(self, vm: Vm) -> GuestSetup:
        setup = self._setup
        return GuestSetup(
            user=setup.spec.security.user,
            variables=self._variables(),
            scratch=setup.work_dir,
            copy_bytes=setup.copy_bytes,
            explain_end=vm.explain_silence,
        )

    def _root_setup(self, vm: Vm) -> GuestSetup:
        return replace(self._guest_setup(vm), user="root", variables={})

    def _variables(self) -> dict[str, str]:
        setup, variables = self._setup, dict[str, str]()
        if setup.spec.screen is not None and self._plan.image.display:
            width, height = setup.spec.resolution
            variables = {
                "DISPLAY": self._plan.image.display,
                "GYM_WIDTH": str(width),
                "GYM_HEIGHT": str(height),
            }
        return {**variables, "LANG": "C.UTF-8", **setup.variables, ENV_MARK: setup.env_id}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
