"""What every runner can do. Optional powers (checkpoints, recording, live views) are Protocols apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from gym_queue.errors import RunnerFailed
from gym_queue.protocol.actions import Action
from gym_queue.specs.env import EnvSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class CheckpointDamaged(RunnerFailed):
    """A checkpoint is gone, or cannot be started from by anybody: it may be removed."""


Pixels: TypeAlias = "npt.NDArray[np.uint8]"
"""(height, width, 4) uint8: blue, green, red, and a byte that means nothing."""


@dataclass(frozen=True, slots=True)
class Audio:
    """The last that was heard, of whole frames (a sample of every channel)."""

    pcm: bytes
    """Signed 16-bit little-endian samples, the channels of a moment side by side."""
    rate: int
    """Frames a second."""
    channels: int


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
    """The windows and what they hold, an element a line, children indented below their parents."""
    audio: Audio | None = None
    """None as well where the sandbox has no sound."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command inside the sandbox ended."""

    exit_status: int
    """As a shell counts: 128 + n for signal n."""
    output: str
    """Standard output and standard error, in the order they were written, decoded as UTF-8 with replacement."""


@dataclass(frozen=True, slots=True)
class VmOptions:
    """How virtual machines run on this host."""

    acceleration: str | None = None
    """kvm, hvf or tcg (software emulation); None finds out what runs here."""
    allow_emulation: bool = False
    """Whether tcg may be chosen where nothing accelerates; it is some ten times slower."""
    image_dir: Path | None = None
    """Where images are; None is the user's own folder."""
    keep_booted: bool = True
    """Whether a machine that has booted is kept, so that the next of its kind starts from there."""

    @classmethod
    def parse(cls, given: Sequence[Any]) -> VmOptions:
        """Return options as ``dump`` wrote them."""
        acceleration, allow_emulation, image_dir, keep_booted = given
        return cls(acceleration, allow_emulation, Path(image_dir) if image_dir else None, keep_booted)

    def dump(self) -> list[Any]:
        """Return the options as JSON has them."""
        folder = str(self.image_dir) if self.image_dir else None
        return [self.acceleration, self.allow_emulation, folder, self.keep_booted]


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
    copy_bytes: int | None = None
    """What one ``copy_to`` or ``copy_from`` may take; TooLarge beyond it. None is no limit."""
    settle_s: float = 0.1
    """How long a desktop's screen is still before it counts as settled, in seconds."""
    checkpoint: str | None = None
    """Key of a checkpoint to start from, of a runner that keeps some; None starts from the image."""
    checkpoint_dir: Path | None = None
    """Where the runner keeps checkpoints that are files; None keeps none."""
    vm: VmOptions = VmOptions()
    """For runners of virtual machines."""
    will_keep: bool = False
    """Whether the machine is going to be kept as it runs, which a runner can make ready for."""


@dataclass(frozen=True, slots=True)
class RunnerInfo:
    """The parts of session_info only the runner knows."""

    runner_name: str
    platform_family: str = "linux"
    container_name: str | None = None
    instance_name: str | None = None
    vnc_port: int | None = None
    vnc_password: str | None = None
    is_viewable: bool = False
    """Whether ``Views`` would find a screen to show."""
    ssh_port: int | None = None
    ssh_user: str | None = None
    ssh_password: str | None = None
    notes: tuple[str, ...] = ()
    """What the spec asks for and this sandbox has not, and why: a sentence each."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a kind of runner offers that none of its methods tells; the class's ``TRAITS``, tested against what it does."""

    observations: tuple[str, ...]
    """Types of observations, as specs write them."""
    actions: tuple[str, ...]
    """Types of actions."""
    os_types: tuple[str, ...] = ("linux",)
    """What runs inside."""
    makes_accounts: bool = False
    """Whether the spec's ``user_accounts`` are made inside; they are ignored otherwise."""
    switches_network: bool = False
    """Whether ``resources.net`` false cuts the network; what runs inside has the host's otherwise."""
    limits_resources: bool = False
    """Whether ``resources.cpu`` and ``mem_gb`` are limits; they only matter to placement otherwise."""
    gives_gpus: bool = False
    """Whether ``resources.gpu`` gives so many; what runs inside sees the host's otherwise."""
    keeps_machines: bool = False
    """Whether a checkpoint may hold a machine that runs (``use_savevm``), not files alone."""


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


class Camera(Protocol):
    """A second pair of eyes on a sandbox, for a thread of its own; costs the sandbox next to nothing when still."""

    def grab(self) -> Pixels | None:
        """Return the screen as it is now, the pointer drawn in; None while nothing changed since the last.

        The pixels are good until the next call.

        Raises:
            RunnerFailed: The screen is gone.
        """

    def listen(self) -> Audio | None:
        """Return what was heard since the last call; None in silence for want of a sound device."""

    def close(self) -> None:
        """Let go; safe to call twice, and while another thread is inside a call, which then fails."""


@runtime_checkable
class Records(Protocol):
    """The power to be filmed while it runs."""

    def open_camera(self) -> Camera:
        """Return a camera of its own connection; owned by the caller.

        Raises:
            RunnerFailed: The sandbox is gone.
            NotSupported: It has no screen.
        """


@runtime_checkable
class Views(Protocol):
    """The power to show the screen to people while an agent works on it."""

    def open_view(self, *, control: bool) -> Path:
        """Serve the screen by RFB (RFC 6143); the server starts with the first call and ends with the sandbox.

        Args:
            control: Whether viewers' mice and keyboards act; otherwise what they send is ignored.

        Returns:
            A unix socket of this host, to be connected to by ``connect_viewer`` alone: the sandbox may have changed it.

        Raises:
            NotSupported: There is no screen, or no server for it in the image.
            RunnerFailed: The server did not come up.
        """


@runtime_checkable
class Checkpoints(Protocol):
    """The power to keep a sandbox's state, and to start another from it (``RunnerSetup.checkpoint``)."""

    def save_checkpoint(self, key: str) -> int:
        """Keep the state as it is now; the sandbox goes on.

        Args:
            key: What it is called; nothing is kept under it yet.

        Returns:
            What it takes on disk in bytes, beside what it shares with its image.

        Raises:
            RunnerFailed: It could not be kept; nothing is.
        """


@runtime_checkable
class MachineCheckpoints(Checkpoints, Protocol):
    """The power to keep a machine as it runs: memory and devices as well as the disk (``use_savevm``)."""

    def save_machine(self, key: str) -> int:
        """Keep the running machine as it is now; as ``save_checkpoint`` otherwise."""


class CheckpointStorage(Protocol):
    """Where a runner keeps its checkpoints, whether a sandbox runs or none."""

    def fingerprint(self, spec: EnvSpec, env_dir: Path | None, *, vm: VmOptions, machine: bool) -> str:
        """Return a digest of what a sandbox is made of besides the spec's own text and files: its image.

        Args:
            spec: The environment's.
            env_dir: Where its relative paths lead from.
            vm: How virtual machines run here; only their runners look at it.
            machine: Whether for checkpoints of machines that run, which fit a machine of their own kind alone:
                processors, memory, acceleration, emulator.

        Raises:
            RunnerFailed: There is no such image.
            RunnerUnavailable: The sandbox software does not answer.
        """

    def holds(self, key: str) -> bool:
        """Return whether a checkpoint is there, whole.

        Raises:
            RunnerUnavailable: The sandbox software does not answer.
        """

    def remove(self, key: str) -> None:
        """Remove what is there of a checkpoint, whole or not; nothing there is fine.

        Raises:
            RunnerFailed: It could not be removed.
            RunnerUnavailable: The sandbox software does not answer.
        """
