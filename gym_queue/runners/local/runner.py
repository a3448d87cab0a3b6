"""The runner itself: a terminal or desktop for the agent, and a shell apart for hooks, all on this host."""

from __future__ import annotations

import logging
from pathlib import Path

from gym_queue.errors import NotSupported, RunnerFailed
from gym_queue.names import RUNNERS
from gym_queue.protocol.actions import Action
from gym_queue.runners.base import ExecResult, Observation, RunnerInfo, RunnerSetup, Traits
from gym_queue.runners.homecheckpoints import restore_home, save_home
from gym_queue.runners.hostexec import HostExec, clean_environment, find_bash
from gym_queue.runners.hostfiles import HostHome
from gym_queue.runners.local.desktop import BACKEND, LocalDesktop
from gym_queue.runners.local.keys import encode_keys, encode_text
from gym_queue.runners.local.mouse import Pointer
from gym_queue.runners.local.render import Renderer, grid_of
from gym_queue.runners.local.screen import APP_CURSOR, Row
from gym_queue.runners.local.terminal import Terminal
from gym_queue.runners.processes import sweep
from gym_queue.specs.env import EnvSpec

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 10.0
_RC = """\
PS1='\\w\\$ '
PS2='> '
RANDOM={seed}
unset HISTFILE MAILCHECK PROMPT_COMMAND
set +o history; set -o history
shopt -s checkwinsize
alias ls='ls --color=auto' grep='grep --color=auto'
"""


class LocalRunner:
    """A terminal with bash of this machine.

    It shares the machine's file system and its user's rights: nothing is confined by force.

    Args:
        setup: What to start; the terminal's home is ``<work_dir>/home``.

    Raises:
        RunnerUnavailable: This machine has no bash.
    """

    TRAITS = Traits(("rgb_screen", "cli_stdout"), ("mouse", "keyboard"))

    def __init__(self, setup: RunnerSetup) -> None:
        self._setup = setup
        self._home = HostHome(setup.work_dir, copy_bytes=setup.copy_bytes)
        bash = find_bash()
        environment = clean_environment(setup, self._home, bash)
        resolution = setup.spec.resolution
        self._rc = setup.work_dir.absolute() / "bashrc"
        self._terminal = Terminal(
            [bash, "--noprofile", "--rcfile", str(self._rc), "-i"],
            cwd=self._home.path,
            environment=environment,
            grid=grid_of(resolution),
        )
        self._exec = HostExec(bash, self._home.path, environment)
        self._renderer = Renderer(resolution)
        self._pointer: Pointer | None = None

    def start(self) -> None:
        """Make the home folder, copy the mounts, start the terminal and wait for its prompt."""
        self._home.create()
        restore_home(self._setup, self._home.path)
        self._home.mount(self._setup.spec, self._setup.env_dir)
        self._rc.write_text(_RC.format(seed=(self._setup.seed or 0) % 32768))
        self._terminal.start()
        with self._terminal.screen() as screen:
            self._pointer = Pointer(screen)
        self._terminal.settle(max_s=START_TIMEOUT_S)

    def check(self, action: Action) -> None:
        """See that an action is one for a terminal.

        Raises:
            ActionInvalid: A key has no such name.
            NotSupported: A voice or api_call action.
        """
        if action.voice is not None or action.api_call is not None:
            raise NotSupported("the local runner is a terminal: it takes mouse and keyboard actions only")
        if action.mouse is not None and action.mouse.held:
            raise NotSupported("the local runner is a terminal: no keys can be held during a mouse action")
        if action.keyboard is not None and action.keyboard.keys:
            encode_keys(action.keyboard.keys, application_cursor=False)

    def act(self, action: Action) -> None:
        """Inject one action; raises as ``check``."""
        self.check(action)
        if action.mouse is not None:
            with self._terminal.screen():
                sent = self._need_pointer().act(action.mouse).encode("latin-1")
                if sent:
                    self._terminal.send(sent)
        if action.keyboard is not None:
            with self._terminal.screen() as screen:
                application_cursor = APP_CURSOR in screen.mode
            keys, text = action.keyboard.keys, action.keyboard.text
            chord = encode_keys(keys, application_cursor=application_cursor) if keys else b""
            self._terminal.send(encode_text(text or "") + chord)

    def settle(self, *, max_s: float) -> None:
        """Wait until the foreground waits for input in silence, or ``max_s`` seconds have passed."""
        self._terminal.settle(max_s=max_s)

    def observe(self) -> Observation:
        """Return the screen as a PNG and as text, whichever the spec asks for."""
        asked = self._setup.spec.observation_types
        with self._terminal.screen() as screen:
            return Observation(
                png=self._renderer.render(screen) if "rgb_screen" in asked else None,
                resolution=self._setup.spec.resolution,
                cli_stdout=visible_text(screen.rows()) if "cli_stdout" in asked else None,
            )

    def exec(self, command: str, *, timeout_s: float) -> ExecResult:
        """Run a command in a login bash of its own session, in the home folder."""
        return self._exec.run(command, timeout_s=timeout_s)

    def copy_to(self, source: Path, target: str) -> None:
        """Copy a file, or what a folder holds, into the home folder."""
        self._home.copy_in(source, target)

    def copy_from(self, source: str, target: Path) -> None:
        """Copy a file, or what a folder holds, out of the home folder."""
        self._home.copy_out(source, target)

    def save_checkpoint(self, key: str) -> int:
        """Keep a copy of the home folder; what runs is not kept."""
        return save_home(self._setup, self._home.path, key)

    def info(self) -> RunnerInfo:
        """Return the runner's name; nothing else of session_info applies."""
        return RunnerInfo(RUNNERS["local"])

    def close(self) -> None:
        """End every process of the environment and remove its files."""
        self._exec.close()
        shell = self._terminal.shell_pid
        self._terminal.close()
        roots = () if shell is None else (shell,)
        sweep(self._setup.env_id, timeout_s=CLOSE_TIMEOUT_S, roots=roots)
        self._terminal.reap()
        self._home.remove()
        self._rc.unlink(missing_ok=True)

    def _need_pointer(self) -> Pointer:
        if self._pointer is None:
            raise RunnerFailed("the terminal was not started: call start first")
        return self._pointer


def open_local(setup: RunnerSetup) -> LocalRunner | LocalDesktop:
    """Return the runner for a spec: a desktop for ``display_backend`` "x11", else a terminal.

    Raises:
        RunnerUnavailable: This machine has no bash, or no Xvfb for a desktop.
        NotSupported: The spec needs an image, or a display that this host has not.
    """
    _refuse_images(setup.spec)
    backend = setup.spec.display_backend
    if backend not in (None, BACKEND):
        raise NotSupported(f"the local runner has no display_backend {backend!r}: use {BACKEND!r}, or docker")
    return LocalDesktop(setup) if backend == BACKEND else LocalRunner(setup)


def visible_text(rows: list[Row]) -> str:
    """Return the lines of a screen: blanks at their ends and blank last lines dropped."""
    return "\n".join("".join(cell.data for cell in row).rstrip() for row in rows).rstrip("\n")


def _refuse_images(spec: EnvSpec) -> None:
    for key in ("image", "dockerfile"):
        if getattr(spec, key):
            raise NotSupported(
                f"the spec's {key} needs a container: the local runner is a terminal of this host; use docker"
            )
