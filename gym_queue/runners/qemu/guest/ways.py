"""The ways into a guest, each asked whether it is there, and opened when it is the one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

from gym_queue.errors import RunnerFailed
from gym_queue.runners.processes import ENV_MARK
from gym_queue.runners.qemu.guest.agent import GuestAgent
from gym_queue.runners.qemu.guest.agentways import AgentCarrier, AgentWindows
from gym_queue.runners.qemu.guest.android import AdbCarrier, AdbServer, AdbSilent
from gym_queue.runners.qemu.guest.carrier import CALL_TIMEOUT_S
from gym_queue.runners.qemu.guest.install import PORT, install_helper
from gym_queue.runners.qemu.guest.linux import LinuxGuest, UserRefused
from gym_queue.runners.qemu.guest.plain import ANDROID, PlainGuest
from gym_queue.runners.qemu.guest.protocol import Guest, GuestSetup
from gym_queue.runners.qemu.guest.ssh import Login, SshConnection, SshSilent
from gym_queue.runners.qemu.guest.sshwindows import SshWindows
from gym_queue.runners.qemu.guest.windows import WindowsGuest
from gym_queue.runners.qemu.images.model import Image

logger = logging.getLogger(__name__)

ASK_S = 1.0
"""How long one way is asked before the next is."""
HELPER_ASK_S = 3.0
HELPER_S = 10.0
"""What the helper gets to start in, however late it is."""


PORT_WAIT_S = 10
"""Seconds that a guest which is still booting gets to make the helper's port."""
_CAN_HELP = """\
command -v python3 >/dev/null || {{ echo 'it has no python3'; exit 1; }}
for second in $(seq {seconds}); do
  [ -e {port} ] && exit 0
  sleep 1
done
[ -e {port} ] || {{ echo 'it makes no {port}'; exit 1; }}
"""


class Way(Protocol):
    """One way in."""

    def is_there(self) -> bool:
        """Ask whether the guest can be reached so; takes a second or so."""

    def open(self, left_s: float) -> Guest:
        """Open it; called once it is there."""

    def close(self) -> None:
        """Let go of what was opened to ask; not called after ``open``."""


class HelperWay:
    """Our helper, that runs in a machine which was saved with it.

    Args:
        path: Of its port.
        setup: How commands run.
    """

    def __init__(self, path: Path, setup: GuestSetup) -> None:
        self._path, self._setup = path, setup
        self._guest: LinuxGuest | None = None

    def is_there(self) -> bool:
        """Ask; see ``Way``."""
        try:
            self._guest = LinuxGuest(self._path, self._setup, deadline_s=HELPER_ASK_S)
        except UserRefused:
            raise
        except RunnerFailed as error:
            logger.info("the restored machine has no helper that answers: %s", error)
            return False
        return True

    def open(self, left_s: float) -> Guest:  # noqa: ARG002  the agent's way needs it
        """Open it; see ``Way``."""
        assert self._guest is not None  # noqa: S101  it answered
        return self._guest

    def close(self) -> None:
        """Let go of it; see ``Way``."""
        if self._guest is not None:
            self._guest.close()


class AgentWay:
    """The agent; Linux with Python inside gets the helper on top of it.

    Args:
        image: What the machine runs.
        path: Of its port.
        helper: Of the helper's.
        setup: How commands run.
        shell: What a Windows guest's commands are written for.
    """

    def __init__(self, image: Image, path: Path, helper: Path, setup: GuestSetup, shell: str) -> None:
        self._image, self._path, self._helper = image, path, helper
        self._setup, self._shell = setup, shell
        self._agent: GuestAgent | None = None

    def is_there(self) -> bool:
        """Ask; see ``Way``."""
        if self._agent is None:
            self._agent = GuestAgent(self._path, self._setup.explain_end)
        try:
            self._agent.wait(deadline_s=ASK_S)
        except RunnerFailed:
            return False
        return True

    def open(self, left_s: float) -> Guest:
        """Open it; see ``Way``."""
        agent = self._agent
        assert agent is not None  # noqa: S101  it answered
        try:
            return self._open(agent, left_s)
        except BaseException:
            agent.close()
            raise

    def _open(self, agent: GuestAgent, left_s: float) -> Guest:
        if self._image.os_type == "windows":
            home = rf"C:\Users\{self._image.user}" if self._image.user else "C:\\"
            return WindowsGuest(AgentWindows(agent), self._setup, shell=self._shell, home=home)
        can_help = ("/bin/sh", "-c", _CAN_HELP.format(port=PORT, seconds=PORT_WAIT_S))
        result = agent.run(can_help, timeout_s=CALL_TIMEOUT_S)
        if result.exit_status != 0:
            why = result.output.strip()
            logger.info("each command in %s goes by its agent, which is slower: %s", self._image.name, why)
            return PlainGuest(AgentCarrier(agent), self._setup)
        install_helper(agent, deadline_s=max(left_s, HELPER_S))
        guest = LinuxGuest(self._helper, self._setup, deadline_s=max(left_s, HELPER_S))
        agent.close()
        return guest

    def close(self) -> None:
        """Let go of it; see ``Way``."""
        if self._agent is not None:
            self._agent.close()


class SshWay:
    """An SSH server inside.

    Args:
        image: What the machine runs.
        port: Of loopback.
        login: Who.
        setup: How commands run.
    """

    def __init__(self, image: Image, port: int, login: Login, setup: GuestSetup) -> None:
        self._image, self._port, self._login, self._setup = image, port, login, setup
        self._connection: SshConnection | None = None

    def is_there(self) -> bool:
        """Ask; see ``Way``."""
        try:
            self._connection = self._connection or SshConnection(
                self._port, self._login, self._setup.explain_end
            )
        except SshSilent:
            return False
        return True

    def open(self, left_s: float) -> Guest:  # noqa: ARG002  the agent's way needs it
        """Open it; see ``Way``."""
        connection = self._connection
        assert connection is not None  # noqa: S101  it let us in
        if self._image.os_type != "windows":
            return PlainGuest(connection, self._setup)
        home = rf"C:\Users\{self._login.user}"
        return WindowsGuest(SshWindows(connection), self._setup, shell=self._login.shell, home=home)

    def close(self) -> None:
        """Let go of it; see ``Way``."""
        if self._connection is not None:
            self._connection.close()


class AdbWay:
    """Android's adbd, on TCP.

    Args:
        port: Of loopback.
        setup: How commands run.
    """

    def __init__(self, port: int, setup: GuestSetup) -> None:
        self._port, self._setup = port, setup
        self._carrier: AdbCarrier | None = None

    def is_there(self) -> bool:
        """Ask; see ``Way``."""
        if self._carrier is None:
            self._carrier = AdbCarrier(self._start_server(), self._port, self._setup.explain_end)
        try:
            self._carrier.connect()
        except AdbSilent:
            return False
        return True

    def _start_server(self) -> AdbServer:
        return AdbServer(self._setup.scratch, self._setup.variables.get(ENV_MARK, ""))

    def open(self, left_s: float) -> Guest:  # noqa: ARG002  the agent's way needs it
        """Open it; see ``Way``."""
        assert self._carrier is not None  # noqa: S101  it is connected
        return PlainGuest(self._carrier, self._setup, ANDROID)

    def close(self) -> None:
        """Let go of it; see ``Way``."""
        if self._carrier is not None:
            self._carrier.close()
