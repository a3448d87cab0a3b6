"""The connection to this machine's Docker daemon: made when first used, its errors translated once."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import IO, cast

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from gym_queue.errors import GymQueueError, PathNotFound, RunnerFailed, RunnerUnavailable

UNIX = "unix://"
DEFAULT_HOST = f"{UNIX}/var/run/docker.sock"
CALL_TIMEOUT_S = 120
"""Longest one answer of the daemon may take; a busy one is slow to start and remove containers."""
CONNECT_TIMEOUT_S = 5.0
MAX_HEAD_BYTES = 65536
_REMEDY = "start Docker, or set DOCKER_HOST to the unix socket of a daemon that runs"


class Daemon:
    """The daemon that DOCKER_HOST, or the default socket, leads to.

    Args:
        host: As DOCKER_HOST writes it; None reads it.
    """

    def __init__(self, host: str | None = None) -> None:
        self.host = host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
        self._client: docker.DockerClient | None = None
        self._connecting = threading.Lock()

    @property
    def sdk(self) -> docker.DockerClient:
        """The SDK's client.

        Raises:
            RunnerUnavailable: No daemon answers, or it is not one of this machine.
        """
        with self._connecting:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> docker.DockerClient:
        if not self.host.startswith(UNIX):
            raise RunnerUnavailable(
                f"the docker runner shares sockets with its containers, so {self.host} will not do: set DOCKER_HOST to the unix socket of a daemon"
            )
        try:
            self._open_socket().close()
            return docker.DockerClient(base_url=self.host, timeout=CALL_TIMEOUT_S)
        except PermissionError as error:
            raise RunnerUnavailable(
                f"permission denied on the Docker daemon's socket {self.host}: add this user to the group docker, then log in again"
            ) from error
        except (OSError, DockerException) as error:
            raise RunnerUnavailable(
                f"the Docker daemon does not answer at {self.host} ({error}): {_REMEDY}"
            ) from error

    def _open_socket(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(self.host.removeprefix(UNIX))
        except BaseException:
            connection.close()
            raise
        return connection

    def start_exec(self, exec_id: str) -> socket.socket:
        """Start a command that was made by ``exec_create``, and return its streams as one socket.

        The connection is made here: the SDK's own is wrapped in a response that cannot be closed cleanly.

        Raises:
            RunnerFailed: The daemon refuses, or hangs up.
        """
        body = json.dumps({"Detach": False, "Tty": False}).encode()
        head = (
            f"POST /v{self.sdk.api.api_version}/exec/{exec_id}/start HTTP/1.1\r\nHost: docker\r\n"
            "Content-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with translated("a command cannot be started in the container"):
            connection = self._open_socket()
            try:
                connection.settimeout(CALL_TIMEOUT_S)
                connection.sendall(head.encode() + body)
                _expect_upgrade(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    @contextmanager
    def archive(self, container_id: str, path: str) -> Iterator[IO[bytes]]:
        """Give the tar stream of a path inside a container; a link is followed.

        The SDK's own ``get_archive`` cannot be left before its end.

        Raises:
            PathNotFound: There is no such path.
            RunnerFailed: The daemon refuses.
        """
        url = f"{self.sdk.api.base_url}/v{self.sdk.api.api_version}/containers/{container_id}/archive"
        head = self.sdk.api.head(url, params={"path": path}, timeout=CALL_TIMEOUT_S)
        status = json.loads(base64.b64decode(head.headers.get("X-Docker-Container-Path-Stat", "e30=")))
        plain = {
            "Accept-Encoding": "identity"
        }  # packing it would cost more time than it saves on one machine
        asked = {"path": status.get("linkTarget") or path}
        with self.sdk.api.get(url, params=asked, headers=plain, stream=True, timeout=CALL_TIMEOUT_S) as reply:
            if reply.status_code == HTTPStatus.NOT_FOUND:
                raise PathNotFound(f"there is no {path!r} in the container")
            if not reply.ok:
                raise RunnerFailed(f"the Docker daemon refuses to read {path}: {reply.text.strip()}")
            yield cast(IO[bytes], reply.raw)

    def close(self) -> None:
        """Hang up."""
        with self._connecting:
            if self._client is not None:
                self._client.close()


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what the SDK raises inside the block into errors of this package.

    Args:
        what: What was tried, as a clause: ``the container cannot be started``.

    Raises:
        RunnerFailed: The daemon refused.
        RunnerUnavailable: It does not answer.
    """
    try:
        yield
    except GymQueueError:
        raise
    except APIError as error:
        raise RunnerFailed(f"{what}: {explain(error)}") from error
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise RunnerUnavailable(f"{what}: the Docker daemon does not answer ({error}): {_REMEDY}") from error
    except (DockerException, OSError) as error:
        raise RunnerFailed(f"{what}: {error}") from error


def explain(error: APIError) -> str:
    """Return the daemon's own words, with the remedy where they call for one."""
    said = str(error.explanation or error).strip()
    lowered = said.lower()
    if "no space left" in lowered or "disk quota" in lowered:
        return f"the disk is full ({said}): free space below Docker's data folder, for example with docker system prune"
    if "already in use" in lowered or "port is already allocated" in lowered:
        return f"a name or port is taken ({said}): remove what holds it"
    if "unknown runtime" in lowered or "unknown or invalid runtime" in lowered:
        return f"{said}: install that runtime, or leave out security.runtime"
    if "could not select device driver" in lowered:
        return (
            f"the daemon cannot give GPUs ({said}): install the NVIDIA container toolkit, or ask for no GPU"
        )
    return said


def is_gone(error: APIError) -> bool:
    """Whether what the call named is not there any more, or is being removed already."""
    return isinstance(error, NotFound) or (
        error.response is not None
        and error.response.status_code == 409
        and "removal" in str(error.explanation)
    )


def remove_container(container: Container) -> None:
    """Kill and remove a container with its volumes; one that is gone already is no error."""
    with translated(f"the container {container.name} cannot be removed"):
        try:
            container.remove(force=True, v=True)
        except APIError as error:
            if not is_gone(error):
                raise


def _expect_upgrade(connection: socket.socket) -> None:
    """Read the reply's head, and not a byte more: the streams begin behind it.

    Raises:
        RunnerFailed: It is not the 101 that hands over the connection.
    """
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte or len(head) > MAX_HEAD_BYTES:
            raise RunnerFailed("the Docker daemon hung up on a command before it began")
        head += byte
    if not head.startswith(b"HTTP/1.1 101"):
        said = connection.recv(4096).decode(errors="replace").strip()
        raise RunnerFailed(f"the Docker daemon refuses to start a command: {said}")
