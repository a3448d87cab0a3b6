"""A Slurm of one node and of a test's own: munge, controller and node daemon, on loopback."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess

from tests.acceptance.conftest import Place, wait_until
from tests.deploy.conftest import DOCS, free_ports

CONFIG = """\
ClusterName=gym
SlurmctldHost={node}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName={node} NodeAddr=127.0.0.1 CPUs=16 RealMemory=65536
PartitionName=all Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""
"""More processors and memory than there may be: the documented job asks for some, and does not use them."""


class Slurm:
    """Started by ``start``; its daemons stay in the foreground of their own processes.

    Args:
        place: Its files and its processes' mark.
    """

    def __init__(self, place: Place) -> None:
        self.folder = place.folder / "slurm"
        (self.folder / "state").mkdir(parents=True)
        (self.folder / "spool").mkdir()
        shutil.copy(DOCS / "slurm" / "workers.sbatch", self.folder)
        self._daemons: list[subprocess.Popen[bytes]] = []
        config = self.folder / "slurm.conf"
        self.variables = {**os.environ, **place.variables, "SLURM_CONF": str(config)}
        controller_port, node_port = free_ports(2)
        self._node = socket.gethostname().partition(".")[0]
        config.write_text(
            CONFIG.format(
                node=self._node,
                user=getpass.getuser(),
                folder=self.folder,
                controller_port=controller_port,
                node_port=node_port,
            )
        )

    def start(self) -> None:
        """Start all three; the node takes jobs when this returns."""
        key, munge = self.folder / "munge.key", self.folder / "munge.socket"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in ("log", "pid", "seed")]
        self._run("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge}", *files)
        wait_until(munge.exists)
        self._run("slurmctld", "-D", "-i")
        self._run("slurmd", "-D", "-N", self._node)
        wait_until(lambda: self.ask("sinfo", "--noheader", "--format=%T").strip() == "idle", 30)

    def stop(self) -> None:
        """Stop what was started, the last first."""
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def ask(self, *command: str, **variables: str) -> str:
        """Return what one of Slurm's commands says; nothing when it fails."""
        asked = subprocess.run(
            command,
            env={**self.variables, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return asked.stdout

    def submit(self, script: str, **variables: str) -> str:
        """Run the shell lines that submit jobs, in the folder of the jobs' logs; return what they say."""
        said = self.ask("bash", "-euc", script, **variables)
        assert said.strip(), self.logs()
        return said.strip()

    def state(self, job: str) -> str:
        """Return a job's state: RUNNING, COMPLETED, FAILED, .."""
        shown = self.ask("scontrol", "show", "job", job)
        return shown.partition("JobState=")[2].partition(" ")[0]

    def logs(self) -> str:
        """Return what daemons and jobs wrote."""
        return "\n".join(f"{path.name}: {path.read_text()[-3000:]}" for path in self.folder.glob("*.log"))

    def _run(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            self._daemons.append(
                subprocess.Popen(
                    command,
                    env=self.variables,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                )
            )
