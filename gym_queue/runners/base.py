"""What every runner can do. Optional powers (checkpoints, recording, live views) are Protocols apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gym_queue.protocol.actions import Action
from gym_queue.specs.env import EnvSpec


@dataclass(frozen=True, slots=True)
class Observation:
    """What an environment shows at one moment; None where the spec asks for no such modality."""

    png: bytes | None = None
    """The screen as a PNG of ``resolution``."""
    resolution: tuple[int, int] = (0, 0)
    """width, height in pixels."""
    cli_stdout: str | None = None
    """The terminal's visible text, lines joined by newlines."""
    ui_tree: str | None = None


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command inside the sandbox ended."""

    exit_status: int
    """As a shell counts: 128 + n for signal n."""
    output: str
    """Standard output and standard error, in the order they were written, decoded as UTF-8 with replacement."""


@dataclass(frozen=True, slots=True)
class RunnerSetup:
    """All a runner needs to start."""

    env_id: str
    spec: EnvSpec
    env_dir: Path | None
    """Where the spec's relative paths lead from; None for a spec that came as a dict."""
    work_dir: Path
    """A folder of this environment alone, made by the caller and removed by the caller after close."""
    seed: int | None = None
    variables: dict[str, str] = field(default_factory=dict)
    """Extra environment variables for everything that runs inside."""


@dataclass(frozen=True, slots=True)
class RunnerInfo:
    """The parts of session_info only the runner knows."""

    runner_name: str
    platform_family: str = "linux"
    container_name: str | None = None
    instance_name: str | None = None
    vnc_port: int | None = None
    vnc_password: str | None = None
    ssh_port: int | None = None
    ssh_user: str | None = None
    ssh_password: str | None = None


class Runner(Protocol):
    """One sandbox. Called by one thread at a time, except ``close``.

    Every method raises RunnerFailed when the sandbox is gone, and NotSupported for what this runner can't do.
    """

    def start(self) -> None:
        """Start the sandbox and return when it can be acted on. Called once."""

    def check(self, action: Action) -> None:
        """See that ``act`` could take an action, without injecting anything.

        Raises:
            ActionInvalid: A key has no such name.
            NotSupported: This runner has no such device.
        """

    def act(self, action: Action) -> None:
        """Inject one action's mouse, keyboard, voice or api_call part; control actions never come here."""

    def settle(self, *, max_s: float) -> None:
        """Wait until the screen has been still for a moment, or ``max_s`` seconds have passed."""

    def observe(self) -> Observation:
        """Return what is there now, never an older frame."""

    def exec(self, command: str, *, timeout_s: float) -> ExecResult:
        """Run a command in a login bash inside, apart from the terminal or desktop the agent sees.

        Raises:
            EnvTimeout: It ran longer than ``timeout_s``; it and its children were killed.
        """

    def copy_to(self, source: Path, target: str) -> None:
        """Copy a file or folder of the host to a path inside; missing folders are made.

        Raises:
            PathNotFound: ``source`` does not exist.
            Forbidden: ``target`` is outside the sandbox.
        """

    def copy_from(self, source: str, target: Path) -> None:
        """Copy a file or folder from inside to a path of the host; missing folders are made.

        Raises:
            PathNotFound: ``source`` does not exist inside.
            Forbidden: ``source`` is outside the sandbox.
        """

    def info(self) -> RunnerInfo:
        """Return what session_info says of this runner."""

    def close(self) -> None:
        """Stop everything and remove what the runner made. Safe to call twice, and from another thread."""
