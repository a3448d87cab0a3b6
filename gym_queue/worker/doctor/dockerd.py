"""Probe of the Docker daemon, by its SDK."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
from collections.abc import Mapping
from typing import Any

from gym_queue.worker.doctor.host import Platform
from gym_queue.worker.doctor.report import Finding

MIN_API_VERSION = "1.41"  # of Docker 20.10: cgroup namespaces, one reading of statistics
MIN_FREE_BYTES = 1 << 30
"""Below this the first image, or an environment that writes, would fill the disk of everything else."""
_UNIX = "unix://"
_DEFAULT_HOST = f"{_UNIX}/var/run/docker.sock"


def docker_daemon(here: Platform, timeout_s: float) -> Finding:
    """Ask the daemon that DOCKER_HOST, or the default socket, leads to for its version and storage."""
    host = os.environ.get("DOCKER_HOST") or _DEFAULT_HOST
    call_s = max(1, round(timeout_s / 3))  # three calls: the first agrees on the API's version
    try:
        importlib.import_module("docker")  # an optional extra
        if not host.startswith(_UNIX):
            return _elsewhere(host)
        _connect(host.removeprefix(_UNIX), call_s)
        return judge_daemon(*_ask(call_s))
    except ImportError:
        remedy = "pip install 'gym-queue[docker]'"
        return Finding(ok=False, reason="the docker package for Python is not installed", remedy=remedy)
    except OSError as error:
        return no_answer(here, host, error)


def judge_daemon(version: Mapping[str, Any], info: Mapping[str, Any]) -> Finding:
    """Say whether a daemon that answers can run containers.

    Args:
        version: Its answer to /version.
        info: Its answer to /info.
    """
    name = str(version.get("Version", "of unknown version"))
    details = {"docker": name, "docker_storage": str(info.get("Driver", "unknown"))}
    if (system := info.get("OSType", "linux")) != "linux":
        remedy = "switch Docker to Linux containers"
        return Finding(
            ok=False, reason=f"Docker {name} runs {system} containers", remedy=remedy, details=details
        )
    if (api := _numbers(version.get("ApiVersion"))) and api < _numbers(MIN_API_VERSION):
        reason = (
            f"Docker {name} is too old: its API is {version['ApiVersion']}, and {MIN_API_VERSION} is needed"
        )
        return Finding(ok=False, reason=reason, remedy="upgrade Docker to 20.10 or later", details=details)
    free_bytes = _free(str(info.get("DockerRootDir", "")))
    if free_bytes is not None:
        details["docker_free_gb"] = f"{free_bytes / 2**30:.1f}"
        if free_bytes < MIN_FREE_BYTES:
            reason = (
                f"{info['DockerRootDir']}, where Docker {name} stores images, has {free_bytes >> 20} MiB free"
            )
            return Finding(ok=False, reason=reason, remedy="docker system prune", details=details)
    return Finding(ok=True, reason=f"Docker {name} answers", details=details)


def _numbers(version: object) -> tuple[int, ...]:
    return tuple(int(each) for each in str(version or "").split(".") if each.isdecimal())


def _free(folder: str) -> int | None:
    """Return the free space where the daemon stores images; None when that is no folder that we see."""
    try:
        return shutil.disk_usage(folder).free if folder else None
    except OSError:
        return None


def _elsewhere(host: str) -> Finding:
    reason = f"the docker runner shares sockets with its containers, and {host} is no unix socket"
    remedy = "set DOCKER_HOST to the unix socket of this machine's daemon, or unset it"
    return Finding(ok=False, reason=reason, remedy=remedy, details={"docker_host": host})


def no_answer(here: Platform, host: str, error: OSError) -> Finding:
    """Say why the daemon could not be asked, and what helps.

    Args:
        here: This platform.
        host: Where the daemon should be, as DOCKER_HOST writes it.
        error: What came instead of an answer.
    """
    details = {"docker_host": host, "docker_error": str(error)}
    if isinstance(error, PermissionError):
        remedy = "sudo usermod -aG docker $USER && newgrp docker"
        reason = f"permission denied on the Docker daemon's socket {host}"
        return Finding(ok=False, reason=reason, remedy=remedy, details=details)
    if shutil.which("docker") is None and host == _DEFAULT_HOST:
        remedy = here.install(
            apt="docker.io", dnf="moby-engine", brew="--cask docker", otherwise="install Docker"
        )
        return Finding(ok=False, reason="Docker is not installed", remedy=remedy, details=details)
    by_system = {"Linux": "sudo systemctl start docker", "Darwin": "start Docker Desktop"}
    remedy = f"{by_system.get(here.system, 'start it')}, or set DOCKER_HOST to a daemon that runs"
    reason = f"the Docker daemon does not answer at {host}"
    return Finding(ok=False, reason=reason, remedy=remedy, details=details)


def _connect(path: str, timeout_s: int) -> None:
    """Connect and hang up: what fails here fails with the system's own error, which the SDK would wrap."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        connection.connect(path)


def _ask(timeout_s: int) -> tuple[dict[str, Any], dict[str, Any]]:
    import docker
    import docker.errors

    try:
        client = docker.from_env(timeout=timeout_s)
        try:
            return client.version(), client.info()
        finally:
            client.close()
    except docker.errors.DockerException as error:
        raise OSError(str(error)) from error
