"""The runner itself: one virtual machine, seen and driven by its monitor, its commands through a channel of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from gym_queue.errors import EnvTimeout, NotSupported, RunnerFailed
from gym_queue.names import RUNNERS
from gym_queue.protocol.actions import Action
from gym_queue.runners.base import ExecResult, Observation, RunnerInfo, RunnerSetup, Traits
from gym_queue.runners.display.connection import Connection
from gym_queue.runners.qemu.allowlist import hosts_script
from gym_queue.runners.qemu.checkpoints import QemuCheckpoints
from gym_queue.runners.qemu.desktop import Desktop, XTunnel
from gym_queue.runners.qemu.guest.linux import LinuxGuest
from gym_queue.runners.qemu.guest.protocol import Guest
from gym_queue.runners.qemu.machine import VNC
from gym_queue.runners.qemu.screen.camera import VmCamera
from gym_queue.runners.qemu.screen.display import VmDisplay
from gym_queue.runners.qemu.screen.viewer import VmViewers
from gym_queue.runners.qemu.snapshots import Snapshot, save_disk, save_machine
from gym_queue.runners.qemu.starting import Plan, Running, Starter, plan_machine
from gym_queue.runners.qemu.vm import Vm
from gym_queue.runners.qemu.xserver import greet
from gym_queue.specs.loader import resolve_mount

logger = logging.getLogger(__name__)

SETUP_TIMEOUT_S = 120.0
SYNC_TIMEOUT_S = 120.0


class QemuRunner:
    """A virtual machine of this host.

    Args:
        setup: What to start; disk and sockets lie in ``<work_dir>/vm``.
    """

    NAME: ClassVar[str] = "qemu"
    TRAITS = Traits(
        ("rgb_screen", "ui_tree"),
        ("mouse", "keyboard"),
        os_types=("linux", "windows", "android"),
        makes_accounts=True,
        switches_network=True,
        limits_resources=True,
        keeps_machines=True,
    )

    def __init__(self, setup: RunnerSetup) -> None:
        self._setup = setup
        self._lock = threading.Lock()
        self._is_closed = False
        self._vms: list[Vm] = []
        self._plan: Plan | None = None
        self._starter: Starter | None = None
        self._running: Running | None = None
        self._guest: Guest | None = None
        self._display: VmDisplay | None = None
        self._desktop: Desktop | None = None
        self._viewers: VmViewers | None = None

    def start(self) -> None:
        """Find the image, start the machine, make accounts, run the entrypoint."""
        try:
            self._start()
        except BaseException:
            was_closed = self._is_closed
            self.close()
            if was_closed:
                self._check_open()
            raise

    def check(self, action: Action) -> None:
        """See that an action is one for a screen.

        Raises:
            ActionInvalid: A key has no such name.
            NotSupported: A voice or api_call action, or no screen to act on.
        """
        self._need_display().check(action)

    def act(self, action: Action) -> None:
        """Inject one action; raises as ``check``."""
        display = self._need_display()
        with self._explained():
            display.act(action)

    def settle(self, *, max_s: float) -> None:
        """Wait until the screen has been still for the setup's ``settle_s``, or ``max_s`` seconds have passed."""
        self._check_open()
        if self._display is not None:
            with self._explained():
                self._display.settle(settle_s=self._setup.settle_s, max_s=max_s)

    def observe(self) -> Observation:
        """Return the screen as a PNG, and the windows that the spec asks for."""
        self._check_open()
        if self._display is None:
            return Observation(resolution=self._setup.spec.resolution)
        with self._explained():
            png = self._display.observe_png()
            tree = self._read_tree()
        return Observation(png, self._setup.spec.resolution, ui_tree=tree)

    def open_camera(self) -> VmCamera:
        """Return a camera on the screen, over a monitor of its own."""
        self._need_display()
        return VmCamera(self._need_vm().camera(), self._setup.spec.resolution)

    def exec(self, command: str, *, timeout_s: float) -> ExecResult:
        """Run a command inside, in a login bash of the spec's user where the guest is a Linux."""
        guest = self._need_guest()
        with self._explained():
            return guest.exec(command, timeout_s=timeout_s)

    def copy_to(self, source: Path, target: str) -> None:
        """Copy a file, or what a folder holds, into the machine."""
        guest = self._need_guest()
        with self._explained():
            guest.copy_to(source, target)

    def copy_from(self, source: str, target: Path) -> None:
        """Copy a file, or what a folder holds, out of the machine."""
        guest = self._need_guest()
        with self._explained():
            guest.copy_from(source, target)

    def open_view(self, *, control: bool) -> Path:
        """Return a socket that speaks RFB for QEMU's own server, and lets input through only when it may."""
        self._need_display()
        if self._viewers is None:
            self._viewers = VmViewers(self._need_vm().folder / VNC, self._need_vm().folder)
        return self._viewers.open(control=control)

    def save_checkpoint(self, key: str) -> int:
        """Keep the disk as it is now, once what runs inside has written all that it holds back."""
        self._need_guest().exec("sync", timeout_s=SYNC_TIMEOUT_S)
        return self._keep(key, lambda folder: save_disk(self._need_vm(), folder, self._base()))

    def save_machine(self, key: str) -> int:
        """Keep the machine as it runs now; it stands still for a moment."""
        return self._keep(
            key, lambda folder: save_machine(self._need_vm(), folder, self._base(), self._kind())
        )

    def info(self) -> RunnerInfo:
        """Return the runner's name, the system's family, and what the spec asks for and the machine has not."""
        plan, notes = self._plan, list[str]()
        if plan is not None:
            notes += [*plan.notes, *_lacking(self._setup)]
        if self._display is not None and self._display.note:
            notes.append(self._display.note)
        return RunnerInfo(
            RUNNERS[self.NAME],
            plan.machine.os_type if plan is not None else "linux",
            instance_name=f"gym-queue-{self._setup.env_id}",
            is_viewable=self._setup.spec.screen is not None,
            notes=tuple(notes),
        )

    def close(self) -> None:
        """Kill the machine and remove its disk and sockets."""
        with self._lock:
            self._is_closed = True
            vms, self._vms = self._vms, []
        for part in (self._display, self._desktop, self._viewers, self._guest):
            if part is not None:
                part.close()
        for vm in vms:
            vm.close()  # which raises nothing, so that none is left

    def _start(self) -> None:
        self._check_open()
        self._plan = plan_machine(self._setup)
        self._starter = Starter(self._setup, self._plan, self._adopt, self._check_open)
        self._running = running = self._starter.start()
        self._take_guest(running.guest)
        running.vm.has_left()  # reads the events of its own boot
        running.vm.await_again()
        self._prepare(running)
        if self._setup.spec.screen is not None:
            self._begin_screen(running)

    def _adopt(self, vm: Vm) -> None:
        with self._lock:
            self._check_open()
            self._vms.append(vm)

    def _take_guest(self, guest: Guest) -> None:
        with self._lock:
            self._guest = guest
            is_late = self._is_closed
        if is_late:
            guest.close()
            self._check_open()

    def _prepare(self, running: Running) -> None:
        spec, guest = self._setup.spec, self._need_guest()
        assert self._plan is not None  # noqa: S101  it runs
        if not running.is_prepared and self._plan.allowed:
            self._run_as_root(hosts_script(self._plan.allowed), "the allowed hosts cannot be named")
        if not running.is_running_on:
            for mount in spec.mounts:
                guest.copy_to(resolve_mount(self._setup.env_dir or Path.cwd(), mount.source), mount.target)

    def _run_as_root(self, script: str, what: str) -> None:
        result = self._need_guest().exec(script, timeout_s=SETUP_TIMEOUT_S, user="root")
        if result.exit_status != 0:
            raise RunnerFailed(f"{what} in the virtual machine: {result.output.strip()}")

    def _begin_screen(self, running: Running) -> None:
        connect = self._x_connector()
        self._display = VmDisplay(running.vm.qmp, self._setup.spec.resolution, connect_x=connect)
        self._desktop = Desktop(self._display, XTunnel(connect) if connect is not None else None)
        entrypoint = self._setup.spec.entrypoint
        if entrypoint and not running.is_running_on:
            self._desktop.run_entrypoint(self._need_guest(), entrypoint)

    def _x_connector(self) -> Callable[[], Connection] | None:
        """Return what connects to the X server inside; None where there is none to be reached."""
        path = self._plan.image.x_socket if self._plan is not None else ""
        if not path or not isinstance(self._guest, LinuxGuest):
            return None

        def connect() -> Connection:
            guest = self._need_guest()
            if not isinstance(guest, LinuxGuest):
                raise RunnerFailed(
                    "the X server inside cannot be reached since the machine was started again"
                )
            return greet(guest.connect(path))

        return connect

    def _read_tree(self) -> str | None:
        if "ui_tree" not in self._setup.spec.observation_types or self._desktop is None:
            return None
        return self._desktop.window_tree()

    def _keep(self, key: str, save: Callable[[Path], Snapshot]) -> int:
        folder = self._setup.checkpoint_dir
        if folder is None:
            raise RunnerFailed("this machine was started without a folder for checkpoints: none can be kept")
        return QemuCheckpoints(folder).keep(key, save)

    def _base(self) -> Path:
        assert self._plan is not None  # noqa: S101  it runs
        return self._plan.image.disk

    def _kind(self) -> str:
        assert self._plan is not None  # noqa: S101  it runs
        return self._plan.kind

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say more about what failed in a machine that is gone, stands still or crashed."""
        try:
            yield
        except (RunnerFailed, EnvTimeout):
            self._need_vm().check_running()
            raise

    def _check_open(self) -> None:
        if self._is_closed:
            raise RunnerFailed("the environment was closed: create a new one")

    def _need_vm(self) -> Vm:
        self._check_open()
        if self._running is None:
            raise RunnerFailed("the virtual machine was not started: call start first")
        return self._running.vm

    def _need_guest(self) -> Guest:
        vm = self._need_vm()
        if self._starter is None or self._running is None:
            raise RunnerFailed("the virtual machine was not started: call start first")
        guest = self._guest
        if guest is not None and vm.has_left():
            logger.info("the machine of %s, or its helper, was started again from inside", self._setup.env_id)
            guest.close()
            self._guest = guest = None
        if guest is None:
            vm.await_again()
            guest = self._starter.open_guest(self._running)
            self._take_guest(guest)
        return guest

    def _need_display(self) -> VmDisplay:
        self._need_vm()
        if self._setup.spec.screen is None:
            raise NotSupported(
                "the environment has no screen, so it takes no actions: add rgb_screen to its observation"
            )
        if self._display is None:
            raise RunnerFailed("the virtual machine was not started: call start first")
        return self._display


class QemuNativeRunner(QemuRunner):
    """The same by the name that Gym-Anything has for a QEMU of the host's own."""

    NAME = "qemu_native"


def _lacking(setup: RunnerSetup) -> list[str]:
    """Return a sentence for each thing that a spec asks for and no machine has."""
    notes = []
    if "audio_waveform" in setup.spec.observation_types:
        notes.append("virtual machines have no sound card: audio is null")
    if any(mount.mode == "rw" for mount in setup.spec.mounts):
        notes.append(
            "mounts are copied into the virtual machine: what it writes there is not seen on the host"
        )
    return notes
