"""Settings of the programs, from flags, then ``GYM_ANYTHING_*`` variables, then defaults; and the cluster token."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from gym_queue.errors import StartupFailed
from gym_queue.tls import TlsFiles

APP_NAME = "gym-anything"
DEFAULT_MASTER_PORT = 5800
DEFAULT_WORKER_PORT = 5900
DEFAULT_DASHBOARD_PORT = 5850


class TlsSettings(BaseSettings):
    """The PEM files that every program takes."""

    ssl_certfile: Path | None = None
    """Its certificate, shown to callers and to whom it calls; None serves plain HTTP."""
    ssl_keyfile: Path | None = None
    """The certificate's key; None is in the same file."""
    ssl_ca: Path | None = None
    """CA that must have made the others' certificates; None is those that the system trusts."""

    @property
    def tls(self) -> TlsFiles:
        """The three together."""
        return TlsFiles(self.ssl_certfile, self.ssl_keyfile, self.ssl_ca)


class ServerSettings(TlsSettings):
    """What master and worker take from whoever reaches their port; docs/limits.md has the table."""

    head_timeout_s: float = Field(10.0, gt=0)
    """Longest a request's line and headers may take to come in."""
    silence_timeout_s: float = Field(60.0, gt=0)
    """Longest silence within a request's body, and longest a client may take no byte of its answer."""
    body_timeout_s: float = Field(600.0, gt=0)
    """Longest a request's body may take to come in, unless it is a file."""
    max_connections: int = Field(20_000, ge=1)
    """Connections at once."""
    connections_per_address: int = Field(8192, ge=1)
    """Connections at once from one address, this machine's own included."""
    create_body_mb: float = Field(8.0, gt=0)
    """Largest body of a create, in MiB."""
    body_mb: float = Field(1.0, gt=0)
    """Largest body of any other call but a step, in MiB."""


class MasterSettings(ServerSettings):
    """What ``gym-anything-master`` takes."""

    model_config = SettingsConfigDict(
        env_prefix="GYM_ANYTHING_MASTER_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(DEFAULT_MASTER_PORT, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    auto_port: bool = False
    """Take the next free port when ``port`` is taken."""
    broker_url: str | None = None
    """Celery broker; None starts an embedded one."""
    heartbeat_s: float = Field(5.0, gt=0)
    """How often workers are told to send heartbeats."""
    heartbeat_timeout_s: float = Field(30.0, gt=0)
    """Without a heartbeat for this long a worker is unhealthy: no new environments."""
    dead_timeout_s: float = Field(90.0, gt=0)
    """Without a heartbeat for this long a worker is dead: its environments are lost."""
    proxy_timeout_s: float = Field(900.0, gt=0)
    """Longest a worker may take to answer one call."""
    create_timeout_s: float = Field(600.0, gt=0)
    """Longest a worker may take to open an environment."""
    queue_timeout_s: float = Field(600.0, ge=0)
    """Longest a create waits for a free slot, unless the call says otherwise."""
    state_dir: Path | None = None
    """Folder for the master's state and its embedded broker; None is one per port in the user's state folder."""
    fresh: bool = False
    """Start without what an earlier run on the same state knew of workers, environments and creates."""
    wait_for_workers: bool = False
    """Let creates that no worker could ever take wait for one that can, instead of refusing them at once."""
    no_auth: bool = False
    """Serve callers without a token."""
    metrics_token: SecretStr | None = None
    """Opens ``/metrics`` alone; None leaves that to the cluster token."""
    log_level: str = "INFO"
    """Least that is logged: DEBUG, INFO, WARNING or ERROR."""
    log_format: Literal["auto", "text", "json"] = "auto"
    """How log lines are written; auto: text when standard error is a terminal, else JSON."""


class WorkerSettings(ServerSettings):
    """What ``gym-anything-worker`` takes."""

    model_config = SettingsConfigDict(
        env_prefix="GYM_ANYTHING_WORKER_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    host: str = "0.0.0.0"
    """Address to listen on."""
    port: int = Field(0, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    master_url: str | None = None
    """Master to register with; None serves creates directly."""
    broker_url: str | None = None
    """Celery broker; None takes the one the master hands out."""
    worker_id: str | None = None
    """Name of this worker; None makes one from the host name and a random part."""
    max_envs: int = Field(4, ge=1, le=10_000)
    """Environments at once."""
    max_starting: int | None = Field(None, ge=1)
    """Environments that start at once; None is the number of cores."""
    timeout_s: float = Field(3600.0, gt=0)
    """An environment that no call touched for this long is closed."""
    heartbeat_interval_s: float | None = Field(None, gt=0)
    """Seconds between heartbeats; None takes what the master says."""
    advertise_host: str | None = None
    """Host name or address that the master reaches this worker by; None finds it out."""
    reset_policy: str = "core"
    """Policy of resets that name none: core or baseline_setup."""
    skip_preflight: bool = False
    """Do not probe the runners at the start."""
    skip_kvm_check: bool = False
    """Deprecated: use skip_preflight."""
    must_support_runner: str = ""
    """Runners, comma-separated, without which the worker refuses to start."""
    runners: str = ""
    """Runners, comma-separated, to offer; empty offers every one that is ready, except fake."""
    grace_s: float = Field(30.0, ge=0)
    """On SIGTERM, how long busy environments may finish."""
    call_timeout_s: float = Field(900.0, gt=0)
    """Longest one call into an environment may take before it is killed."""
    env_roots: tuple[Path, ...] = ()
    """Folders that env folders, bundles and mounts may come from, besides the shipped environments; none given is the folder the worker was started in."""
    allow_paths: tuple[Path, ...] = ()
    """Folders of this host that callers may copy files to and from by path, besides the episode's own."""
    allow_privileged: bool = False
    """Let specs ask for privileged sandboxes, host devices, more capabilities and the host's namespaces."""
    allow_emulation: bool = False
    """Run virtual machines by software emulation where neither KVM nor HVF runs any: some ten times slower."""
    vm_image_dir: Path | None = None
    """Where images of virtual machines are; None is in the user's cache folder."""
    verifier_timeout_s: float = Field(600.0, gt=0, le=86_400)
    """Longest a verifier may take."""
    verifier_cpu_s: int = Field(600, ge=1)
    """CPU time of each process of a verifier."""
    verifier_memory_gb: float = Field(4.0, ge=0.0625)
    """Address space of each process of a verifier, in GiB."""
    verifier_file_gb: float = Field(1.0, gt=0)
    """Size of each file a verifier writes, in GiB."""
    verifier_processes: int = Field(128, ge=1)
    """Processes and threads of a verifier at once."""
    verifier_user: str | None = None
    """User that verifiers run as when the worker is root: a name or a uid; None is a uid of its own for each."""
    step_body_mb: float = Field(32.0, gt=0)
    """Largest body of a step, reset or capture_observation, in MiB."""
    max_actions: int = Field(1000, ge=0, le=1000)
    """Actions of one step."""
    max_wait_s: float = Field(600.0, ge=0)
    """All the waiting of one step: its wait actions, and the pauses between its actions."""
    max_frames: int = Field(10_000, ge=1)
    """Frames kept of an episode: its first and its latest."""
    copy_gb: float = Field(16.0, ge=0)
    """What one copy into a sandbox or out of it may take, in GiB."""
    settle_ms: float = Field(100.0, ge=0)
    """How long a desktop's screen is still before it counts as settled."""
    settle_max_ms: float = Field(2000.0, ge=0)
    """Longest wait for that after a step's actions."""
    checkpoint_dir: Path | None = None
    """Where checkpoints are kept, shared by the workers of a host; None is in the user's cache folder."""
    cache_max_gb: float = Field(50.0, ge=0)
    """What checkpoints may take, in GiB; the least recently used go first."""
    cache_max_age_days: float = Field(30.0, gt=0)
    """How long a checkpoint may lie unused."""
    episodes_dir: Path | None = None
    """Where finished episodes are kept, by host and worker; None is in the user's cache folder."""
    keep_episodes: int = Field(200, ge=0, le=100_000)
    """Finished episodes that are kept, the latest; 0 keeps none."""
    episodes_gb: float = Field(5.0, ge=0, le=1_000_000)
    """What they may take, in GiB."""
    no_auth: bool = False
    """Serve callers without a token."""
    log_level: str = "INFO"
    """Least that is logged: DEBUG, INFO, WARNING or ERROR."""
    log_format: Literal["auto", "text", "json"] = "auto"
    """How log lines are written; auto: text when standard error is a terminal, else JSON."""


class ClientSettings(TlsSettings):
    """What clients read from the environment."""

    model_config = SettingsConfigDict(
        env_prefix="GYM_ANYTHING_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    token: SecretStr | None = None
    """Cluster token; None reads the user's token file."""
    token_file: Path | None = None
    """Where the token file is; None is in the user's config folder."""
    tokens_file: Path | None = None
    """Where the named clients' tokens are, as hashes; None is beside the token file."""
    remote_url: str | None = None
    """Master or worker that commands talk to when no flag says."""


class VmSettings(BaseSettings):
    """How virtual machines run where no worker's settings say: in ``gym-anything run``, ``doctor``, a local benchmark."""

    model_config = SettingsConfigDict(
        env_prefix="GYM_ANYTHING_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    allow_emulation: bool = False
    """Run virtual machines by software emulation where neither KVM nor HVF runs any: some ten times slower."""
    vm_image_dir: Path | None = None
    """Where images of virtual machines are; None is in the user's cache folder."""


def token_path() -> Path:
    """Return where this user's cluster token is kept."""
    return ClientSettings().token_file or Path(platformdirs.user_config_dir(APP_NAME)) / "token"


def tokens_path() -> Path:
    """Return where the named clients' tokens of this user's masters are kept."""
    return ClientSettings().tokens_file or token_path().with_name("tokens.json")


def checkpoints_path() -> Path:
    """Return the folder where this user's workers, on this host, keep their checkpoints."""
    return WorkerSettings().checkpoint_dir or Path(platformdirs.user_cache_dir(APP_NAME)) / "checkpoints"


def episodes_path() -> Path:
    """Return the folder where this user's workers keep finished episodes."""
    return WorkerSettings().episodes_dir or Path(platformdirs.user_cache_dir(APP_NAME)) / "episodes"


def vm_images_path() -> Path:
    """Return the folder where this user's images of virtual machines are."""
    return VmSettings().vm_image_dir or Path(platformdirs.user_cache_dir(APP_NAME)) / "vm-images"


def find_token() -> str | None:
    """Return the cluster token of ``GYM_ANYTHING_TOKEN`` or the user's token file; None when there is none.

    Raises:
        StartupFailed: The token file is readable by others, empty, or cannot be read.
    """
    settings = ClientSettings()
    if settings.token is not None:
        return settings.token.get_secret_value().strip() or None
    path = token_path()
    try:
        mode = path.stat().st_mode
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise StartupFailed(f"the token file {path} cannot be read: {why}; mend or delete it") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StartupFailed(f"the token file {path} is open to other users: run `chmod 600 {path}`")
    if not text:
        raise StartupFailed(f"the token file {path} is empty: write the token into it, or delete it")
    return text


def find_or_make_token() -> str:
    """Return the cluster token, made and stored (0600) on first use.

    Raises:
        StartupFailed: The token file cannot be read or written.
    """
    token = find_token()
    if token is not None:
        return token
    path = token_path()
    fresh = secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        staged = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(fresh + "\n")
        try:
            os.link(staged, path)  # fails if another program was first: one token wins
        except FileExistsError:
            return find_token() or fresh
        finally:
            staged.unlink()
    except OSError as error:
        raise StartupFailed(
            f"the token file {path} cannot be written: {error.strerror}; set GYM_ANYTHING_TOKEN or GYM_ANYTHING_TOKEN_FILE"
        ) from error
    return fresh
