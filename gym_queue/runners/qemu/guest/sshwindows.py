"""Windows by its OpenSSH server: programs by cmd.exe whatever the account's shell is, files by SFTP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from gym_queue.errors import PathNotFound, RunnerFailed
from gym_queue.runners.qemu.guest.carrier import COPY_TIMEOUT_S
from gym_queue.runners.qemu.guest.ssh import SshConnection

if TYPE_CHECKING:
    import paramiko

CHUNK_BYTES = 1 << 18


class SshWindows:
    """See ``WindowsCarrier``.

    Args:
        connection: Owned from here on.
    """

    def __init__(self, connection: SshConnection) -> None:
        self._connection = connection

    def run(self, words: Sequence[str], *, timeout_s: float) -> int:
        """Run a command line with cmd.exe; PowerShell and cmd.exe read these quotes alike. See ``WindowsCarrier.run``."""
        line = f'cmd.exe /d /c "{" ".join(words)}"'
        return self._connection.run_line(line, timeout_s=timeout_s).exit_status

    def write(self, path: str, content: IO[bytes]) -> None:
        """Make a file."""
        with self._sftp(path) as sftp, sftp.open(sftp_path(path), "wb") as file:
            file.set_pipelined(True)
            while chunk := content.read(CHUNK_BYTES):
                file.write(chunk)

    def read(self, path: str, into: IO[bytes], *, last_bytes: int | None = None) -> None:
        """Append a file, or its end, to ``into``; see ``WindowsCarrier.read``."""
        with self._sftp(path) as sftp, sftp.open(sftp_path(path), "rb") as file:
            size = file.stat().st_size or 0
            if last_bytes is not None and size > last_bytes:
                file.seek(size - last_bytes)
            else:
                file.prefetch(size)
            while chunk := file.read(CHUNK_BYTES):
                into.write(chunk)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    @contextmanager
    def _sftp(self, path: str) -> Iterator[paramiko.SFTPClient]:
        with self._connection.open_sftp() as sftp:
            if (channel := sftp.get_channel()) is not None:
                channel.settimeout(COPY_TIMEOUT_S)
            try:
                yield sftp
            except FileNotFoundError as error:
                raise PathNotFound(f"there is no {path} in the guest") from error
            except (OSError, EOFError) as error:
                raise RunnerFailed(f"{path} cannot be copied by the guest's SFTP: {error}") from error


def sftp_path(path: str) -> str:
    """Return a path of Windows as its SFTP server takes it."""
    return "/" + path.replace("\\", "/") if path[1:2] == ":" else path
