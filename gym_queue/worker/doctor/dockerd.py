"""Probe of the Docker daemon, by its SDK."""

from __future__ import annotations

import importlib
import os
import shutil
import socket

from gym_queue.worker.doctor.host import Platform
from gym_queue.worker.doctor.report import Finding

_UNIX = "unix://"
_DEFAULT_HOST = f"{_UNIX}/var/run/docker.sock"


def docker_daemon(here: Platform, timeout_s: float) -> Finding:
    """Ask the daemon that DOCKER_HOST, or the default socket, leads to for its version."""
    host = os.environ.get("DOCKER_HOST") or _DEFAULT_HOST
    call_s = max(1, round(timeout_s / 2))  # two calls: the first agrees on the API's version
    try:
        importlib.import_module("docker")  # an optional extra
        if host.startswith(_UNIX):
            _connect(host.removeprefix(_UNIX), call_s)
        version = _ask_version(call_s)
    except ImportError:
        remedy = "pip install gym-queue[docker]"
        return Finding(ok=False, reason="the docker package for Python is not installed", remedy=remedy)
    except OSError as error:
        return no_answer(here, host, error)
    return Finding(ok=True, reason=f"Docker {version} answers", details={"docker": version})


def no_answer(here: Platform, host: str, error: OSError) -> Finding:
    """Say why the daemon could not be asked, and what helps.

    Args:
        here: This platform.
        host: Where the daemon should be, as DOCKER_HOST writes it.
        error: What came instead of an answer.
    """
    details = {"docker_host": host, "docker_error": str(error)}
    if isinstance(error, PermissionError):
        remedy = "sudo usermod -aG docker $USER, then log in again"
        reason = f"permission denied on the Docker daemon's socket {host}"
        return Finding(ok=False, reason=reason, remedy=remedy, details=details)
    if shutil.which("docker") is None and host == _DEFAULT_HOST:
        remedy = here.install(apt="docker.io", brew="--cask docker", otherwise="install Docker")
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


def _ask_version(timeout_s: int) -> str:
    import docker
    import docker.errors

    try:
        client = docker.from_env(timeout=timeout_s)
        try:
            return str(client.version().get("Version", "of unknown version"))
        finally:
            client.close()
    except docker.errors.DockerException as error:
        raise OSError(str(error)) from error
