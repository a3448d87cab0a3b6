"""The agent as a carrier: programs by guest-exec, files by guest-file-*, for guests that run nothing else of ours.

Source: QEMU Guest Agent Protocol Reference (https://www.qemu.org/docs/master/interop/qemu-ga-ref.html).
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from gym_queue.errors import PathNotFound, RunnerFailed
from gym_queue.runners.base import ExecResult
from gym_queue.runners.qemu.guest.agent import AgentRefused, GuestAgent
from gym_queue.runners.qemu.guest.carrier import CALL_TIMEOUT_S

CHUNK_BYTES = 192 << 10
"""Of a file, in one call: larger ones are not faster here, and keep others waiting."""
_FROM_END = 2


class AgentCarrier:
    """Scripts for a POSIX shell; see ``Carrier``.

    Args:
        agent: Owned from here on.
    """

    def __init__(self, agent: GuestAgent) -> None:
        self._agent = agent

    def run(
        self,
        script: str,
        *,
        timeout_s: float,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
    ) -> ExecResult:
        """Run a script; what it reads and writes goes by way of a file there. See ``Carrier.run``."""
        base = f"/tmp/.gym-{secrets.token_hex(8)}"  # noqa: S108  inside the guest
        deadline = time.monotonic() + timeout_s
        if stdin is not None:
            write_file(self._agent, f"{base}.in", stdin)
        ends = (f" <{base}.in" if stdin is not None else "") + (f" >{base}.out" if stdout is not None else "")
        try:
            argv = ("/bin/sh", "-c", f"umask 077\n{{\n{script}\n}}{ends}" if ends else script)
            result = self._agent.run(argv, timeout_s=deadline - time.monotonic())
            if stdout is not None:
                read_file(self._agent, f"{base}.out", stdout)
        finally:
            if ends:
                self._remove(base)
        return result

    def close(self) -> None:
        """Hang up."""
        self._agent.close()

    def _remove(self, base: str) -> None:
        self._agent.run(("/bin/rm", "-f", f"{base}.in", f"{base}.out"), timeout_s=CALL_TIMEOUT_S)


class AgentWindows:
    """Programs and files of Windows; see ``WindowsCarrier``.

    Args:
        agent: Owned from here on.
    """

    def __init__(self, agent: GuestAgent) -> None:
        self._agent = agent

    def run(self, words: Sequence[str], *, timeout_s: float) -> int:
        """Run a command line with cmd.exe, without pipes: a child left behind would hold them. See ``WindowsCarrier.run``."""
        argv = ("cmd.exe", "/d", "/c", *words)
        return self._agent.run(argv, timeout_s=timeout_s, captures=False).exit_status

    def write(self, path: str, content: IO[bytes]) -> None:
        """Make a file."""
        write_file(self._agent, path, content)

    def read(self, path: str, into: IO[bytes], *, last_bytes: int | None = None) -> None:
        """Append a file, or its end, to ``into``; see ``WindowsCarrier.read``."""
        read_file(self._agent, path, into, last_bytes=last_bytes)

    def close(self) -> None:
        """Hang up."""
        self._agent.close()


def write_file(agent: GuestAgent, path: str, content: IO[bytes]) -> None:
    """Make a file in the guest.

    Raises:
        RunnerFailed: It cannot be written.
    """
    with _opened(agent, path, "wb") as handle:
        while chunk := content.read(CHUNK_BYTES):
            written = 0
            while written < len(chunk):
                data = base64.b64encode(chunk[written:]).decode()
                answer = _file_call(agent, "write", handle, **{"buf-b64": data})
                written += answer["count"]


def read_file(agent: GuestAgent, path: str, into: IO[bytes], *, last_bytes: int | None = None) -> None:
    """Append a file of the guest, or its last bytes, to ``into``.

    Raises:
        PathNotFound: It cannot be opened.
    """
    with _opened(agent, path, "rb") as handle:
        if last_bytes is not None:
            size = _file_call(agent, "seek", handle, offset=0, whence=_FROM_END)["position"]
            _file_call(agent, "seek", handle, offset=max(0, size - last_bytes), whence=0)
        while True:
            answer = _file_call(agent, "read", handle, count=CHUNK_BYTES)
            into.write(base64.b64decode(answer["buf-b64"]))
            if answer["eof"] or not answer["count"]:
                return


@contextmanager
def _opened(agent: GuestAgent, path: str, mode: str) -> Iterator[int]:
    try:
        handle = agent.call("guest-file-open", timeout_s=CALL_TIMEOUT_S, path=path, mode=mode)
    except AgentRefused as error:
        if mode == "rb":
            raise PathNotFound(f"{path} cannot be read in the guest: {error}") from error
        raise RunnerFailed(f"{path} cannot be written in the guest: {error}") from error
    try:
        yield handle
    finally:
        _file_call(agent, "close", handle)


def _file_call(agent: GuestAgent, name: str, handle: int, **arguments: Any) -> Any:
    return agent.call(f"guest-file-{name}", timeout_s=CALL_TIMEOUT_S, handle=handle, **arguments)
