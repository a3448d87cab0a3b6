"""What an environment is: the content of env.json, typed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from gym_queue import names
from gym_queue.specs.base import SpecModel, Strings

DEFAULT_RESOLUTION = (1280, 720)
"""width, height in pixels of a screen whose spec names none."""

CacheLevel = Literal["pre_start", "post_start", "post_task"]
Side = Annotated[int, Field(gt=0, le=16384)]
Resolution = tuple[Side, Side]
"""width, height in pixels."""


class Resources(SpecModel):
    """Limits of the sandbox, and what placement must fit."""

    cpu: float | None = Field(None, gt=0)
    """Cores; None means no limit."""
    mem_gb: float | None = Field(None, gt=0)
    """Memory in GiB; None means no limit."""
    gpu: int = Field(0, ge=0)
    """Number of GPUs."""
    net: bool = False
    """Whether the sandbox reaches the network: only when asked."""


class Mount(SpecModel):
    """A file or folder of the host that the sandbox sees."""

    source: str = Field(min_length=1)
    """Path on the host, as loader.resolve_mount reads it."""
    target: str
    """Path inside: absolute, or relative to the home folder of the sandbox."""
    mode: Literal["ro", "rw"] = "ro"
    """Read only, or writable."""


class ObservationSpec(SpecModel):
    """One modality of what an agent sees."""

    type: str
    """rgb_screen, ui_tree, audio_waveform or cli_stdout."""
    fps: float | None = Field(None, gt=0)
    """Frames a second of a screen."""
    resolution: Resolution | None = None
    """width, height in pixels of a screen."""
    inline: bool = False
    """Put the image into the reply (``png_b64``) beside its path."""
    sample_rate: int | None = Field(None, gt=0)
    """Audio samples a second."""
    channels: int | None = Field(None, gt=0)
    """Audio channels."""
    chunk_duration_ms: float | None = Field(None, gt=0)
    """Length of one audio observation."""


class ActionSpec(SpecModel):
    """One device that an agent may use."""

    type: str
    """mouse, keyboard, voice or api_call."""
    events: Strings = ()
    """Names of the events meant; empty means all."""
    encoding: str | None = None
    """How a voice action's audio is encoded."""


class Security(SpecModel):
    """How the sandbox is confined."""

    user: str = "1000:1000"
    """``uid:gid`` or name that commands inside run as."""
    cap_drop: Strings = ("ALL",)
    """Linux capabilities taken away."""
    cap_add: Strings = ()
    """Linux capabilities given back."""
    devices: Strings = ()
    """Host devices to pass through."""
    seccomp_profile: str | None = None
    """Path of a seccomp profile, or ``unconfined``."""
    privileged: bool = False
    """Run without confinement."""
    use_systemd: bool = False
    """systemd is the container's first process; DISPLAY is then ``:1``."""
    mount_cgroups: bool = False
    """Mount the host's cgroup tree."""
    cgroupns_host: bool = False
    """Share the host's cgroup namespace."""
    tmpfs_run: bool = False
    """Mount /run and /run/lock as tmpfs."""
    stop_timeout: float | None = Field(None, ge=0)
    """Seconds between asking the container to stop and killing it."""
    runtime: str | None = None
    """Container runtime, such as ``runc`` or ``nvidia``."""
    secrets_ref: Any = None
    """Where secrets come from; kept, not read."""
    network_allowlist: Strings = ()
    """Hosts the sandbox may reach; empty means no restriction beyond ``resources.net``."""


class Recording(SpecModel):
    """The video of an episode."""

    enable: bool = True
    """Record at all."""
    output_dir: str = "./artifacts"
    """Folder that episode folders are made in."""
    video_fps: float = Field(10, gt=0)
    """Frames a second."""
    video_resolution: Resolution | None = None
    """width, height in pixels; None is the screen's."""
    video_codec: str = "libx264"
    """ffmpeg's name of the encoder."""
    video_crf: int = Field(23, ge=0, le=63)
    """Constant rate factor: lower is better and larger."""
    audio_rate: int = Field(16000, gt=0)
    """Audio samples a second."""
    audio_channels: int = Field(1, gt=0)
    """Audio channels."""
    audio_codec: str = "aac"
    """ffmpeg's name of the audio encoder."""


class EnvHooks(SpecModel):
    """Commands run inside the sandbox, one after the other."""

    pre_start: Strings = ()
    """Once, before anything else."""
    post_start: Strings = ()
    """Once, when the desktop is up."""
    reset: Strings = ()
    """At every reset."""


class Permissions(SpecModel):
    """What an account may do."""

    sudo: bool = False
    """Member of the sudoers."""
    sudo_nopasswd: bool = False
    """sudo asks for no password."""
    shell: str = "/bin/bash"
    """Login shell."""
    groups: Strings = ()
    """Further groups it is in."""
    primary_group: str | None = None
    """Its first group; None is one of its own name."""
    home_dir: str | None = None
    """Home folder; None is the system's choice."""
    create_home: bool = True
    """Make the home folder."""
    system_user: bool = False
    """An account of a service, not of a person."""
    env_vars: dict[str, str] = Field(default_factory=dict)
    """Variables of its login shells."""


class UserAccount(SpecModel):
    """An account to make inside."""

    name: str
    """Login name."""
    password: str | None = Field(None, repr=False)
    """Login password."""
    uid: int | None = None
    """User id; None lets the system choose."""
    gid: int | None = None
    """Group id; None lets the system choose."""
    role: str | None = None
    """What the account is for, such as ``admin``."""
    permissions: Permissions = Permissions()
    """What it may do."""


class VirtualMachine(SpecModel):
    """How a virtual machine is made of this environment."""

    image: str | None = None
    """Image to start from (``gym-anything image list``); None is what ``image`` or ``base`` names, else debian-x11."""
    substitute: bool = False
    """Whether debian-x11 may stand in for an image that is not on the worker; said in the session info."""


class EnvSpec(SpecModel):
    """An environment."""

    id: str = Field(min_length=1)
    """Name, often with a version suffix: ``terminal_env@1.0``."""
    version: str = "1.0"
    """Version of the environment."""
    description: str = ""
    """What it is, for people."""
    category: Strings = ()
    """Kinds of software it belongs to."""
    authors: Strings = ()
    """Who wrote it."""
    licence: str | None = None
    """Its licence."""
    upstream_url: str | None = None
    """Home page of the software."""
    tags: Strings = ()
    """Free words to find it by."""

    base: str | None = None
    """Preset that this spec was merged over."""
    image: str | None = None
    """Container image, or the path of a disk image."""
    dockerfile: str | None = None
    """Dockerfile to build the image from: from the env dir, else from the working folder."""
    entrypoint: str | None = None
    """Command run inside after the start, often the one that starts the X server."""
    runner: str | None = None
    """Runner's name; None means any."""
    os_type: str | None = None
    """linux, windows or android."""
    resources: Resources = Resources()
    """Limits of the sandbox."""
    mounts: tuple[Mount, ...] = ()
    """Files of the host that the sandbox sees."""

    observation: tuple[ObservationSpec, ...] = Field(min_length=1)
    """What an agent sees."""
    action: tuple[ActionSpec, ...] = Field(min_length=1)
    """What an agent may use."""
    synchronous: bool = True
    """Pause after injected actions."""
    step_cycle_ms: float = Field(100, ge=0)
    """Length of that pause; settling is part of it, and a spec that names none has no more than that."""

    reset_script: str | None = None
    """Command run inside at every reset."""
    deterministic: bool | None = None
    """Whether two resets with one seed give the same environment."""
    supports_save_restore: str | None = None
    """snapshot, custom or none."""
    save_paths: Strings = ()
    """Paths inside that a custom save keeps."""
    default_cache_level: CacheLevel = "pre_start"
    """What the cache level ``default`` means."""
    default_use_savevm: bool = False
    """Whether at the level ``default`` checkpoints hold machines that run, where the runner keeps some."""

    security: Security = Security()
    """How the sandbox is confined."""
    recording: Recording = Recording()
    """The video of an episode."""
    vnc: dict[str, Any] = Field(default_factory=dict, repr=False)
    """How people may watch: ``enable``, ``view_only`` (true unless false), ``password``; the rest is not looked at."""
    ssh: dict[str, Any] = Field(default_factory=dict, repr=False)
    """SSH server inside, for the runner."""
    adb: dict[str, Any] = Field(default_factory=dict)
    """Android debug bridge, for the runner."""
    avd: dict[str, Any] = Field(default_factory=dict)
    """Android virtual device, for the runner."""
    apptainer: dict[str, Any] = Field(default_factory=dict)
    """Options of the apptainer runner."""
    vm: VirtualMachine = VirtualMachine()
    """For runners of virtual machines."""
    apks: tuple[str | dict[str, Any], ...] = ()
    """Android packages to install."""
    hooks: EnvHooks = EnvHooks()
    """Commands run inside."""
    user_accounts: tuple[UserAccount, ...] = ()
    """Accounts to make inside."""
    display_backend: str | None = None
    """How the screen is captured; None is the runner's own way."""
    input_backend: str | None = None
    """How actions are injected; None is the runner's own way."""
    audio_backend: str | None = None
    """How audio is captured; None is the runner's own way."""
    skip_display_audio_bootstrap: bool = False
    """Leave starting X and audio to the image."""
    diagnostics: bool | dict[str, Any] = False
    """Extra diagnostics that the runner may write."""
    multi_agent: dict[str, Any] = Field(default_factory=dict)
    """Roles, and whether they take turns."""

    @property
    def screen(self) -> ObservationSpec | None:
        """The first rgb_screen observation; None for an environment without a screen."""
        return next((each for each in self.observation if each.type == "rgb_screen"), None)

    @property
    def resolution(self) -> tuple[int, int]:
        """width, height in pixels of the first rgb_screen that names them, else DEFAULT_RESOLUTION."""
        screens = (each.resolution for each in self.observation if each.type == "rgb_screen")
        return next((size for size in screens if size is not None), DEFAULT_RESOLUTION)

    @property
    def vnc_password(self) -> str | None:
        """What viewers are asked for; None asks for nothing."""
        password = self.vnc.get("password")
        return password if isinstance(password, str) and password else None

    @property
    def observation_types(self) -> frozenset[str]:
        """The modalities that an observation holds."""
        return frozenset(each.type for each in self.observation)

    def acceptable_runners(self, explicit: str | None = None) -> frozenset[str]:
        """Return the runners that may run this environment; empty means any.

        Args:
            explicit: The runner that the create call names.
        """
        return names.acceptable_runners(explicit, self.runner, self.base)
