"""An X server without hardware on this host, for one environment: Xvfb, with a cookie of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import struct
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from gym_queue.errors import RunnerFailed, RunnerUnavailable
from gym_queue.runners.display.camera import X11Camera
from gym_queue.runners.display.connection import COOKIE_NAME
from gym_queue.runners.display.x11 import X11Display

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 2.0
SOCKETS = Path("/tmp/.X11-unix")  # noqa: S108  (compiled into every X server and client)
_ANY_ADDRESS = 0xFFFF  # FamilyWild


class Xvfb:
    """One server process, started by ``start``.

    Args:
        work_dir: Where its log and its cookie are kept; the caller removes it.
        resolution: width, height in pixels.
        environment: All variables of the process.

    Raises:
        RunnerUnavailable: This machine has no Xvfb.
    """

    def __init__(self, work_dir: Path, resolution: tuple[int, int], environment: Mapping[str, str]) -> None:
        program = shutil.which("Xvfb")
        if program is None:
            raise RunnerUnavailable("an X11 desktop on this host needs Xvfb: install xvfb, or use docker")
        self._program = program
        self._resolution = resolution
        self._environment = dict(environment)
        self._cookie = secrets.token_bytes(16)
        self._authority = work_dir.absolute() / "xauthority"
        self._log = work_dir.absolute() / "xvfb.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._display: str | None = None

    @property
    def pid(self) -> int | None:
        """The server's process; None before the start."""
        return self._process.pid if self._process else None

    def start(self) -> X11Display:
        """Start the server and return its screen.

        Raises:
            RunnerFailed: It does not start; the end of its log says why.
        """
        entry = (b"", b"", COOKIE_NAME, self._cookie)  # of any host, any display
        fields = b"".join(struct.pack(">H", len(each)) + each for each in entry)
        self._authority.touch(mode=0o600)
        self._authority.write_bytes(struct.pack(">H", _ANY_ADDRESS) + fields)
        self._display = self._launch()
        return X11Display.open(
            SOCKETS / f"X{self._display}",
            resolution=self._resolution,
            deadline_s=START_TIMEOUT_S,
            process_alive=self._check_alive,
            authority=self._cookie,
        )

    def open_camera(self) -> X11Camera:
        """Return a camera on its screen.

        Raises:
            RunnerFailed: It does not answer.
        """
        self._check_alive()  # else it would be waited for
        return X11Camera.open(SOCKETS / f"X{self._display}", self._resolution, cookie=self._cookie)

    def variables(self) -> dict[str, str]:
        """Return what programs need to reach the server."""
        return {"DISPLAY": f":{self._display}", "XAUTHORITY": str(self._authority)}

    def close(self) -> None:
        """End the server and remove what it made. Safe to call twice."""
        process = self._process
        if process is not None:
            process.terminate()  # it removes its socket and its lock file
            try:
                process.wait(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._remove_traces(process.pid)
        for path in (self._authority, self._log):
            path.unlink(missing_ok=True)

    def _launch(self) -> str:
        """Start the process and return the display's number, which the server picks itself."""
        width, height = self._resolution
        read_end, write_end = os.pipe()
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [
                        self._program, "-displayfd", str(write_end), "-screen", "0", f"{width}x{height}x24",
                        "-auth", str(self._authority), "-nolisten", "tcp", "-noreset", "-s", "0",
                    ],
                    env=self._environment, pass_fds=[write_end], stdin=subprocess.DEVNULL, stdout=log,
                    stderr=log, start_new_session=True,
                )  # fmt: skip
            os.close(write_end)
            write_end = -1
            return self._read_number(read_end)
        except OSError as error:
            raise RunnerFailed(f"Xvfb cannot be started: {error.strerror}") from error
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)

    def _read_number(self, read_end: int) -> str:
        end = time.monotonic() + START_TIMEOUT_S
        said = b""
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([read_end], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(read_end, 16) if ready else b""
            if not chunk:
                raise RunnerFailed(f"Xvfb did not start: {self._tail()}")
            said += chunk
        return said.decode().strip()

    def _check_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise RunnerFailed(f"Xvfb ended with status {self._process.returncode}: {self._tail()}")

    def _tail(self) -> str:
        try:
            return self._log.read_text(errors="replace").strip()[-500:] or "it said nothing"
        except FileNotFoundError:
            return "it was ended"  # by close, while another thread looks

    def _remove_traces(self, pid: int) -> None:
        """Remove what a killed server left, unless another has the number by now."""
        lock = Path(f"/tmp/.X{self._display}-lock")  # noqa: S108  (as above)
        with contextlib.suppress(OSError, ValueError):  # it is gone, as it should be
            if int(lock.read_text()) == pid:
                lock.unlink()
                (SOCKETS / f"X{self._display}").unlink(missing_ok=True)
