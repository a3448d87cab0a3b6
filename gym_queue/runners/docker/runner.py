"""The runner itself: one container, its screen over the X socket, its commands in shells that wait inside."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from docker.models.containers import Container

from gym_queue.errors import NotSupported, RunnerFailed
from gym_queue.names import RUNNERS
from gym_queue.protocol.actions import Action
from gym_queue.runners.accounts import make_accounts
from gym_queue.runners.base import ExecResult, Observation, RunnerInfo, RunnerSetup, Traits
from gym_queue.runners.display.camera import X11Camera
from gym_queue.runners.display.viewer import ScreenServers
from gym_queue.runners.display.x11 import X11Display
from gym_queue.runners.docker.checkpoints import RESTORE, find_checkpoint, save_container, without_stale
from gym_queue.runners.docker.client import Daemon, remove_container, translated
from gym_queue.runners.docker.create import X11_FOLDER, ImageFacts, copied_mounts, display_of, plan
from gym_queue.runners.docker.exec import Shells
from gym_queue.runners.docker.files import ContainerFiles, InsideUser, make_folder
from gym_queue.runners.docker.image import Images, lock_folder
from gym_queue.runners.docker.senses import Senses
from gym_queue.runners.docker.state import ContainerStats, explain_end, ran_out_of_memory, read_stats
from gym_queue.runners.docker.xserver import XServer
from gym_queue.runners.owner import Place, labels_of
from gym_queue.specs.loader import resolve_mount

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 30.0
RESTORE_TIMEOUT_S = 60.0


class DockerRunner:
    """A container of this machine's Docker daemon.

    Args:
        setup: What to start; sockets lie in ``<work_dir>/x11``.
    """

    TRAITS = Traits(
        ("rgb_screen", "ui_tree", "audio_waveform"),
        ("mouse", "keyboard"),
        makes_accounts=True,
        switches_network=True,
        limits_resources=True,
        gives_gpus=True,
    )

    def __init__(self, setup: RunnerSetup) -> None:
        self._setup = setup
        self._daemon = Daemon()
        self._x11_dir = setup.work_dir.absolute() / "x11" if setup.spec.screen is not None else None
        self._lock = threading.Lock()
        self._is_closed = False
        self._container: Container | None = None
        self._shells: Shells | None = None
        self._files: ContainerFiles | None = None
        self._display: X11Display | None = None
        self._senses: Senses | None = None
        self._servers: ScreenServers | None = None

    def start(self) -> None:
        """Get the image, start the container, make accounts, bring up the screen."""
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
        """Return the screen as a PNG, and the sound and the elements that the spec asks for."""
        self._check_open()
        if self._display is None or self._senses is None:
            return Observation(resolution=self._setup.spec.resolution)
        with self._explained():
            png = self._display.observe_png()
            tree = self._read_tree(self._display, self._senses)
        return Observation(png, self._setup.spec.resolution, ui_tree=tree, audio=self._senses.audio())

    def open_camera(self) -> X11Camera:
        """Return a camera on the screen, with ears where there is a sound."""
        self._need_display()
        assert self._x11_dir is not None  # noqa: S101  there is a screen
        assert self._senses is not None  # noqa: S101  the same
        server = self._x11_dir / f"X{display_of(self._setup.spec).removeprefix(':')}"
        return X11Camera.open(server, self._setup.spec.resolution, listen=self._senses.listener())

    def exec(self, command: str, *, timeout_s: float) -> ExecResult:
        """Run a command in a login bash inside, in the home folder of the spec's user."""
        return self._need_shells().run(command, timeout_s=timeout_s)

    def copy_to(self, source: Path, target: str) -> None:
        """Copy a file, or what a folder holds, into the container."""
        self._need_files().copy_in(source, target)

    def copy_from(self, source: str, target: Path) -> None:
        """Copy a file, or what a folder holds, out of the container."""
        self._need_files().copy_out(source, target)

    def open_view(self, *, control: bool) -> Path:
        """Start x11vnc in the container, on a socket beside the X server's; one that runs is used again."""
        self._need_display()
        if self._servers is None:
            self._servers = self._screen_servers(self._need_shells())
        return self._servers.open(control=control)

    def save_checkpoint(self, key: str) -> int:
        """Make an image of the container as it is now; what runs in it is not kept."""
        return save_container(self._daemon, self._need_container(), key)

    def stats(self) -> ContainerStats:
        """Return what the container uses now."""
        return read_stats(self._daemon, self._need_container())

    def info(self) -> RunnerInfo:
        """Return the runner's and the container's name."""
        name = self._container.name if self._container is not None else None
        notes = self._senses.notes() if self._senses is not None else ()
        return RunnerInfo(
            RUNNERS["docker"], container_name=name, is_viewable=self._x11_dir is not None, notes=notes
        )

    def close(self) -> None:
        """Kill and remove the container with its volumes, and the sockets."""
        with self._lock:
            self._is_closed = True
            container, self._container = self._container, None
        if self._shells is not None:
            self._shells.close()
        if self._senses is not None:
            self._senses.close()
        if self._display is not None:
            self._display.close()
        try:
            if container is not None:
                remove_container(container)
        except BaseException:
            with self._lock:
                self._container = container  # for another try
            raise
        finally:
            if self._x11_dir is not None:
                shutil.rmtree(self._x11_dir, ignore_errors=True)
            self._daemon.close()

    def _start(self) -> None:
        self._check_open()
        image = self._find_image()
        self._check_open()
        container = self._create(image)
        with translated(f"the container {container.name} cannot be started"):
            container.start()
        shells = Shells(
            self._daemon,
            str(container.id),
            user=self._setup.spec.security.user,
            explain_end=lambda: explain_end(self._daemon, container),
        )
        self._shells = shells
        self._check_open()
        if self._setup.checkpoint is None:
            make_accounts(self._setup.spec.user_accounts, partial(shells.run, user="0:0"), "the container")
        else:
            shells.run(RESTORE, timeout_s=RESTORE_TIMEOUT_S, user="0:0")
        self._files = ContainerFiles(
            self._daemon,
            container,
            shells,
            self._probe_user(shells),
            self._setup.work_dir,
            copy_bytes=self._setup.copy_bytes,
        )
        for source, target in copied_mounts(self._setup.spec):
            self._files.copy_in(resolve_mount(self._setup.env_dir or Path.cwd(), source), target)
        self._begin_screen(container, shells)

    def _find_image(self) -> ImageFacts:
        if self._setup.checkpoint is not None:
            return find_checkpoint(self._daemon, self._setup.checkpoint)
        return Images(self._daemon, lock_folder()).ensure(self._setup.spec, self._setup.env_dir)

    def _create(self, image: ImageFacts) -> Container:
        if self._x11_dir is not None:
            self._x11_dir.mkdir(parents=True, exist_ok=True)
            self._x11_dir.chmod(0o1777)  # whoever runs the server inside makes its socket here
        labels = labels_of(self._setup.env_id, Place.here(), os.getpid())
        config = plan(self._setup, image, labels=labels, x11_dir=self._x11_dir)
        config["environment"] = without_stale(image, config["environment"])
        with translated("the container cannot be created"):
            container = self._daemon.sdk.containers.create(**config)
        with self._lock:
            is_late = self._is_closed
            if not is_late:
                self._container = container
        if is_late:
            remove_container(container)
            self._check_open()
        return container

    def _probe_user(self, shells: Shells) -> InsideUser:
        """Find out whom commands run as; a number that the image has no account for gets a home folder."""
        found = shells.run('printf "\\n%s %s %s" "$UID" "${GROUPS[0]}" "$HOME"', timeout_s=PROBE_TIMEOUT_S)
        try:
            uid, gid, home = found.output.rpartition("\n")[2].split(" ", 2)
            user = InsideUser(int(uid), int(gid), home)
        except ValueError:
            raise RunnerFailed(
                f"bash does not work in the container: status {found.exit_status}, {found.output.strip()}"
            ) from None
        if user.uid == 0 or user.home not in ("", "/"):
            return user
        user = InsideUser(user.uid, user.gid, f"/home/{user.uid}")
        make_folder(self._need_container(), user.home, user)
        shells.set_variables({"HOME": user.home})
        return user

    def _begin_screen(self, container: Container, shells: Shells) -> None:
        spec = self._setup.spec
        server = XServer(spec, shells, lambda: self._check_alive(container))
        server.begin()
        shells.warm()  # for the first hook, while the server starts
        if self._x11_dir is None:
            return
        self._senses = Senses(spec, self._x11_dir, shells)
        self._senses.begin()
        try:
            display = X11Display.open(
                self._x11_dir / f"X{display_of(spec).removeprefix(':')}",
                resolution=spec.resolution,
                deadline_s=server.timeout_s,
                process_alive=server.tend,
            )
        except RunnerFailed as error:
            self._check_alive(container)
            raise server.explain(error) from error
        with self._lock:
            self._display = display
            is_late = self._is_closed
        if is_late:
            display.close()
            self._check_open()
        server.finish(lambda: bool(display.window_tree()))

    def _read_tree(self, display: X11Display, senses: Senses) -> str | None:
        if "ui_tree" not in self._setup.spec.observation_types:
            return None
        return "\n".join(filter(None, (display.window_tree(), senses.elements())))

    def _screen_servers(self, shells: Shells) -> ScreenServers:
        assert self._x11_dir is not None  # noqa: S101  there is a screen
        return ScreenServers(
            lambda script: shells.start(script, "x11vnc"),
            display=display_of(self._setup.spec),
            folder=self._x11_dir,
            inside=X11_FOLDER,
            password=self._setup.spec.vnc_password,
        )

    def _check_alive(self, container: Container) -> None:
        self._check_open()
        ended = explain_end(self._daemon, container)
        if ended is not None:
            raise ended

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say more about a screen that is gone: closed, its container dead, or out of memory."""
        try:
            yield
        except RunnerFailed as error:
            container = self._need_container()
            self._check_alive(container)
            if ran_out_of_memory(self._daemon, container):
                raise RunnerFailed(
                    f"{error}; something in the container was killed for want of memory: raise resources.mem_gb"
                ) from error
            raise

    def _check_open(self) -> None:
        if self._is_closed:
            raise RunnerFailed("the environment was closed: create a new one")

    def _need_container(self) -> Container:
        self._check_open()
        container = self._container
        if container is None:
            raise RunnerFailed("the container was not started: call start first")
        return container

    def _need_shells(self) -> Shells:
        self._need_container()
        if self._shells is None:
            raise RunnerFailed("the container was not started: call start first")
        return self._shells

    def _need_files(self) -> ContainerFiles:
        self._need_container()
        if self._files is None:
            raise RunnerFailed("the container was not started: call start first")
        return self._files

    def _need_display(self) -> X11Display:
        self._need_container()
        if self._setup.spec.screen is None:
            raise NotSupported(
                "the environment has no screen, so it takes no actions: add rgb_screen to its observation"
            )
        if self._display is None:
            raise RunnerFailed("the container was not started: call start first")
        return self._display
