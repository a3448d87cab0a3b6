"""From a spec to the container that it asks for: pure, but for looking up mounts and a seccomp profile."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.types import DeviceRequest, LogConfig
from docker.types import Mount as BindMount

from gym_queue.errors import NotSupported, SpecInvalid
from gym_queue.runners.base import RunnerSetup
from gym_queue.runners.processes import ENV_MARK
from gym_queue.specs.env import EnvSpec, Security
from gym_queue.specs.loader import resolve_mount

PIDS_LIMIT = 4096
"""Processes and threads of one container: a desktop has some hundred, a fork bomb must not take the host."""
SHM_BYTES = 1 << 30
"""Of /dev/shm; Docker's own 64 MiB are too few for browsers. Only what is used counts, against the memory limit."""
X11_FOLDER = "/tmp/.X11-unix"  # noqa: S108  where X servers put their sockets
PULSE_SOCKET = f"{X11_FOLDER}/pulse"
SYSTEMD_STOP_SIGNAL = "SIGRTMIN+3"  # systemd(1): the signal that halts it
ACCOUNT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")
"""What making accounts, and becoming one of them, takes; all are of SAFE_CAPABILITIES."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the container takes over from its image."""

    id: str
    command: tuple[str, ...] = ()
    """Its entrypoint and command."""
    variables: Mapping[str, str] = field(default_factory=dict)


def display_of(spec: EnvSpec) -> str:
    """Return DISPLAY inside."""
    return ":1" if spec.security.use_systemd else ":99"


def container_name(env_id: str) -> str:
    """Return a name that no container has: that of the environment, and a part at random."""
    return f"gym-queue-{re.sub('[^a-zA-Z0-9_.-]', '-', env_id)[:64]}-{secrets.token_hex(4)}"


def plan(
    setup: RunnerSetup, image: ImageFacts, *, labels: Mapping[str, str], x11_dir: Path | None
) -> dict[str, Any]:
    """Return the arguments of the SDK's ``containers.create``.

    Args:
        setup: What to start.
        image: Of which image.
        labels: Whose it is.
        x11_dir: Folder of the host that the X server's socket goes to; None for an environment without a screen.

    Raises:
        NotSupported: A list of allowed hosts, which this runner cannot enforce.
        SpecNotFound: A mount's source does not exist.
        SpecInvalid: The seccomp profile cannot be read.
    """
    spec, security = setup.spec, setup.spec.security
    if security.network_allowlist:
        raise NotSupported(
            f"the environment {spec.id} has a security.network_allowlist, which the docker runner cannot enforce: use resources.net instead"
        )
    return {
        "image": image.id,
        "name": container_name(setup.env_id),
        "detach": True,
        "environment": _variables(setup, image),
        "labels": dict(labels),
        "mounts": _mounts(setup, x11_dir),
        "log_config": LogConfig(type="json-file", config={"max-size": "10m", "max-file": "2"}),
        "shm_size": SHM_BYTES,
        "pids_limit": PIDS_LIMIT,
        **_first_process(security, image),
        **_resources(spec),
        **_confinement(spec, setup.env_dir),
    }


def copied_mounts(spec: EnvSpec) -> list[tuple[str, str]]:
    """Return source and target of the mounts below the home folder: copied in, as no image says where that is."""
    return [(each.source, each.target) for each in spec.mounts if not each.target.startswith("/")]


def _variables(setup: RunnerSetup, image: ImageFacts) -> dict[str, str]:
    variables = {}
    if setup.spec.screen is not None:
        width, height = setup.spec.resolution
        variables = {
            "DISPLAY": display_of(setup.spec),
            "GYM_WIDTH": str(width),  # for an entrypoint that starts an X server
            "GYM_HEIGHT": str(height),
        }
        if "audio_waveform" in setup.spec.observation_types and not setup.spec.skip_display_audio_bootstrap:
            variables["PULSE_SERVER"] = f"unix:{PULSE_SOCKET}"
    if "LANG" not in image.variables:
        variables["LANG"] = "C.UTF-8"
    if setup.spec.security.use_systemd:
        variables["container"] = "docker"  # systemd.io/CONTAINER_INTERFACE
    return {**variables, **setup.variables, ENV_MARK: setup.env_id}


def _mounts(setup: RunnerSetup, x11_dir: Path | None) -> list[BindMount]:
    mounts = [
        BindMount(
            target=each.target,
            source=str(resolve_mount(setup.env_dir or Path.cwd(), each.source).resolve()),
            type="bind",
            read_only=each.mode == "ro",
        )
        for each in setup.spec.mounts
        if each.target.startswith("/")
    ]
    if x11_dir is not None:
        mounts.append(BindMount(target=X11_FOLDER, source=str(x11_dir), type="bind"))
    if setup.spec.security.mount_cgroups:
        mounts.append(BindMount(target="/sys/fs/cgroup", source="/sys/fs/cgroup", type="bind"))
    return mounts


def _first_process(security: Security, image: ImageFacts) -> dict[str, Any]:
    if not security.use_systemd:
        return {"init": True, "entrypoint": ["sleep"], "command": ["infinity"], "user": security.user}
    return {
        "entrypoint": list(image.command) or ["/sbin/init"],
        "command": [],
        "user": "0:0",  # systemd runs as nobody else
        "stop_signal": SYSTEMD_STOP_SIGNAL,
    }


def _resources(spec: EnvSpec) -> dict[str, Any]:
    asked, options = spec.resources, dict[str, Any]()
    if asked.cpu is not None:
        options["nano_cpus"] = int(asked.cpu * 1e9)
    if asked.mem_gb is not None:
        options["mem_limit"] = options["memswap_limit"] = int(asked.mem_gb * 2**30)
    if asked.gpu:
        options["device_requests"] = [DeviceRequest(count=asked.gpu, capabilities=[["gpu"]])]
    if not asked.net:
        options["network_mode"] = "none"
    return options


def _confinement(spec: EnvSpec, env_dir: Path | None) -> dict[str, Any]:
    security = spec.security
    added = [*security.cap_add, *(ACCOUNT_CAPABILITIES if spec.user_accounts else ())]
    options: dict[str, Any] = {
        "cap_drop": list(security.cap_drop),
        "cap_add": list(dict.fromkeys(added)),
        "devices": [_device(each) for each in security.devices],
        "privileged": security.privileged,
    }
    if security.seccomp_profile is not None:
        options["security_opt"] = [f"seccomp={_read_seccomp(security.seccomp_profile, env_dir)}"]
    if security.runtime is not None:
        options["runtime"] = security.runtime
    if security.cgroupns_host:
        options["cgroupns"] = "host"
    if security.tmpfs_run or security.use_systemd:
        options["tmpfs"] = {"/run": "rw,nosuid,nodev,mode=755", "/run/lock": "rw,nosuid,nodev,noexec"}
    return options


def _device(asked: str) -> str:
    """Return a device as the SDK takes it: ``host:inside:rights``."""
    host, _, rest = asked.partition(":")
    return asked if rest else f"{host}:{host}:rwm"


def _read_seccomp(profile: str, env_dir: Path | None) -> str:
    """Return what the daemon takes: the profile itself, not its path."""
    if profile == "unconfined":
        return profile
    path = Path(profile) if env_dir is None else env_dir / profile
    try:
        return path.read_text()
    except (OSError, ValueError) as error:
        raise SpecInvalid(f"security.seccomp_profile: {path} cannot be read: {error}") from error
