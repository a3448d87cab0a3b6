"""A RabbitMQ of a test's own: its node name, ports, folders and cookie are nobody else's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.acceptance.conftest import Place, wait_until
from tests.deploy.conftest import free_ports, lacking

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Not the one on PATH, which runs as the system's user and on the system's folders."""
START_S = 60
CONFIG = """\
default_user = gym
default_pass = secret
loopback_users = none
"""


class Rabbit:
    """A broker that can be stopped and started again with what it held.

    Args:
        place: Its files and its processes' mark.
    """

    def __init__(self, place: Place) -> None:
        if not Path(SERVER).exists():
            lacking(f"there is no {SERVER}, where Debian has it", "rabbitmq-server")
        self._folder = place.folder / "rabbit"
        self._folder.mkdir()
        (self._folder / "rabbitmq.conf").write_text(CONFIG)
        (self._folder / "plugins").write_text("[].\n")
        port, self._epmd_port, dist_port = free_ports(3)
        self.url = f"amqp://gym:secret@127.0.0.1:{port}//"
        self._process: subprocess.Popen[bytes] | None = None
        self._variables = {
            **os.environ,
            **place.variables,
            "HOME": str(self._folder),  # of the Erlang cookie
            "RABBITMQ_NODENAME": f"gym{os.getpid()}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none",  # no busy waiting: tests share the cores
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def start(self) -> None:
        """Start it; it takes connections when this returns."""
        log = self._folder / "out.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [SERVER], env=self._variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        wait_until(lambda: b"completed with" in self._said(log), START_S)

    def _said(self, log: Path) -> bytes:
        said = log.read_bytes()
        assert self._process is not None
        assert self._process.poll() is None, said.decode()
        return said

    def stop(self) -> None:
        """Stop it, and keep its files."""
        if self._process is not None:
            self._process.terminate()  # its shell stops the node, and waits for it
            self._process.wait(START_S)
            self._process = None

    def end(self) -> None:
        """Stop it for good, with the port mapper that it started."""
        self.stop()
        subprocess.run(["epmd", "-kill"], env=self._variables, capture_output=True, check=False)
