"""The local runner's other face: an X11 desktop on an Xvfb of this host, where the spec asks for one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gym_queue.errors import NotSupported, RunnerFailed
from gym_queue.names import RUNNERS
from gym_queue.protocol.actions import Action
from gym_queue.runners.base import ExecResult, Observation, RunnerInfo, RunnerSetup, Traits
from gym_queue.runners.display.camera import X11Camera
from gym_queue.runners.display.viewer import ScreenServers
from gym_queue.runners.display.x11 import X11Display
from gym_queue.runners.display.xvfb import Xvfb
from gym_queue.runners.homecheckpoints import restore_home, save_home
from gym_queue.runners.hostexec import HostExec, clean_environment, find_bash
from gym_queue.runners.hostfiles import HostHome
from gym_queue.runners.hostprogram import HostProgram
from gym_queue.runners.processes import sweep

BACKEND = "x11"
"""The ``display_backend`` that asks for a desktop."""
FIRST_WINDOW_S = 5.0
"""Longest wait for the entrypoint to show something; one that shows nothing is no error."""
CLOSE_TIMEOUT_S = 10.0


class LocalDesktop:
    """An X server of this host with what the spec's ``entrypoint`` and hooks start on it.

    It shares the machine's file system and its user's rights: nothing is confined by force.

    Args:
        setup: What to start; the home folder is ``<work_dir>/home``.

    Raises:
        RunnerUnavailable: This machine has no bash or no Xvfb.
        NotSupported: The spec asks for an observation that a desktop of this host has not.
    """

    TRAITS = Traits(("rgb_screen", "ui_tree"), ("mouse", "keyboard"))

    def __init__(self, setup: RunnerSetup) -> None:
        if "cli_stdout" in setup.spec.observation_types:
            raise NotSupported("a local desktop has no cli_stdout observation: take rgb_screen alone")
        self._setup = setup
        self._home = HostHome(setup.work_dir, copy_bytes=setup.copy_bytes)
        self._bash = find_bash()
        self._environment = clean_environment(setup, self._home, self._bash)
        self._server = Xvfb(setup.work_dir, setup.spec.resolution, self._environment)
        self._exec: HostExec | None = None
        self._entry: subprocess.Popen[bytes] | None = None
        self._display: X11Display | None = None
        self._servers: ScreenServers | None = None
        self._watchers: list[HostProgram] = []
        self._is_closed = False

    def start(self) -> None:
        """Make the home folder, copy the mounts, start the server, then the spec's entrypoint, and wait for what it shows."""
        self._home.create()
        restore_home(self._setup, self._home.path)
        self._home.mount(self._setup.spec, self._setup.env_dir)
        self._display = self._server.start()
        self._environment |= self._server.variables()
        self._exec = HostExec(self._bash, self._home.path, self._environment)
        if self._is_closed:  # meanwhile, by another thread that found nothing to end
            self.close()
            raise RunnerFailed("the environment was closed: create a new one")
        if self._setup.spec.entrypoint:
            self._entry = subprocess.Popen(
                [self._bash, "-lc", self._setup.spec.entrypoint],
                cwd=self._home.path,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._display.settle(settle_s=self._setup.settle_s, max_s=FIRST_WINDOW_S, must_change=True)

    def check(self, action: Action) -> None:
        """See that an action is one for a mouse and a keyboard; raises as X11Display.check."""
        self._screen().check(action)

    def act(self, action: Action) -> None:
        """Inject one action; raises as ``check``."""
        self._screen().act(action)

    def settle(self, *, max_s: float) -> None:
        """Wait until the screen has been still for the setup's ``settle_s``, or ``max_s`` seconds have passed."""
        self._screen().settle(settle_s=self._setup.settle_s, max_s=max_s)

    def observe(self) -> Observation:
        """Return the screen as a PNG, and the windows, when the spec asks for them."""
        asked, screen = self._setup.spec.observation_types, self._screen()
        return Observation(
            png=screen.observe_png() if "rgb_screen" in asked else None,
            resolution=self._setup.spec.resolution,
            ui_tree=screen.window_tree() if "ui_tree" in asked else None,
        )

    def open_camera(self) -> X11Camera:
        """Return a camera on the screen; it hears nothing."""
        self._screen()
        return self._server.open_camera()

    def exec(self, command: str, *, timeout_s: float) -> ExecResult:
        """Run a command in a login bash of its own session, in the home folder, with DISPLAY set."""
        if self._exec is None:
            raise RunnerFailed("the desktop was not started: call start first")
        return self._exec.run(command, timeout_s=timeout_s)

    def copy_to(self, source: Path, target: str) -> None:
        """Copy a file, or what a folder holds, into the home folder."""
        self._home.copy_in(source, target)

    def copy_from(self, source: str, target: Path) -> None:
        """Copy a file, or what a folder holds, out of the home folder."""
        self._home.copy_out(source, target)

    def open_view(self, *, control: bool) -> Path:
        """Start this host's x11vnc on a socket of the environment's folder; one that runs is used again."""
        self._screen()
        if self._servers is None:
            self._servers = ScreenServers(
                self._start_watcher,
                display=self._environment["DISPLAY"],
                folder=self._setup.work_dir.absolute(),
                inside=".",  # the programs start there: a whole path may be too long for a socket
                password=self._setup.spec.vnc_password,
            )
        return self._servers.open(control=control)

    def save_checkpoint(self, key: str) -> int:
        """Keep a copy of the home folder; what runs is not kept."""
        return save_home(self._setup, self._home.path, key)

    def info(self) -> RunnerInfo:
        """Return the runner's name, and that its screen can be watched."""
        return RunnerInfo(RUNNERS["local"], is_viewable=True)

    def close(self) -> None:
        """End every process of the environment and remove its files."""
        self._is_closed = True
        if self._exec is not None:
            self._exec.close()
        if self._display is not None:
            self._display.close()
        self._server.close()
        sweep(self._setup.env_id, timeout_s=CLOSE_TIMEOUT_S)
        if self._entry is not None:
            self._entry.wait(CLOSE_TIMEOUT_S)
        for watcher in self._watchers:
            watcher.wait(CLOSE_TIMEOUT_S)
        self._home.remove()

    def _start_watcher(self, script: str) -> HostProgram:
        folder = self._setup.work_dir.absolute()
        program = HostProgram([self._bash, "-lc", script], folder, self._environment, folder / "x11vnc.log")
        self._watchers.append(program)
        return program

    def _screen(self) -> X11Display:
        if self._display is None:
            raise RunnerFailed("the desktop was not started: call start first")
        return self._display
