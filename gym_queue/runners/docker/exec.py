"""Commands inside a container, each given to a shell that waits there; with deadlines that end all they started."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from gym_queue.errors import EnvTimeout, GymQueueError, RunnerFailed
from gym_queue.runners.base import ExecResult
from gym_queue.runners.docker.client import Daemon, translated
from gym_queue.runners.docker.frames import ExecStream
from gym_queue.runners.docker.shell import EXEC_MARK, WAITING_SHELL, Background, Running, Shell

logger = logging.getLogger(__name__)

KILL_TIMEOUT_S = 10.0
MAX_IDLE = 2
KILLER = f"""\
for round in {{1..50}}; do
  declare -A mine=() doomed=()
  for folder in /proc/[0-9]*; do
    pid=${{folder#/proc/}}
    [[ $pid == $$ ]] && continue
    {{ IFS= read -r line <"$folder/stat"; }} 2>/dev/null || continue
    read -r state parent group session _ <<<"${{line##*) }}"
    [[ $state == Z ]] && continue
    mine[$pid]="$parent $session"
    [[ $pid == "$2" || $session == "$2" ]] && doomed[$pid]=1
    {{ mapfile -d '' -t variables <"$folder/environ"; }} 2>/dev/null || continue
    for variable in "${{variables[@]}}"; do
      [[ $variable == "{EXEC_MARK}=$1" ]] && doomed[$pid]=1 && doomed[s$session]=1
    done
  done
  for pass in 1 2 3; do
    for pid in "${{!mine[@]}}"; do
      read -r parent session <<<"${{mine[$pid]}}"
      [[ ${{doomed[$parent]-}} || ( $session != 0 && ${{doomed[s$session]-}} ) ]] && doomed[$pid]=1
    done
  done
  left=0
  for pid in "${{!doomed[@]}}"; do
    [[ $pid == s* ]] || {{ kill -KILL "$pid" && left=1; }} 2>/dev/null
  done
  [[ $left == 0 ]] && exit 0
done
exit 1
"""
"""Kills what carries the mark $1, the session of $2, and what those started, until none is left to kill.

The mark alone would not do: what runs as another user hides its variables.
"""


class Shells:
    """Runs commands in one container. Calls may come from several threads.

    Args:
        daemon: Where the container is.
        container_id: The container; it runs.
        user: Whom commands run as, as ``docker exec --user`` takes it.
        explain_end: Returns why the container is gone, or None while it runs.
    """

    def __init__(
        self, daemon: Daemon, container_id: str, *, user: str, explain_end: Callable[[], RunnerFailed | None]
    ) -> None:
        self._daemon, self._container_id, self._user = daemon, container_id, user
        self._explain_end = explain_end
        self._variables: dict[str, str] = {}
        self._lock = threading.Lock()
        self._idle: list[Shell] = []
        self._open: set[Shell] = set()
        self._is_closed = False

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Give the coming commands variables besides the container's own."""
        self._variables.update(variables)
        self.renew()

    def renew(self) -> None:
        """Let the coming commands begin in fresh shells: groups and accounts have changed."""
        with self._lock:
            idle, self._idle = self._idle, []
        for shell in idle:
            self._retire(shell)

    def warm(self) -> None:
        """Have a shell wait for the next command."""
        self._put_back(self._begin(self._user))

    def run(self, command: str, *, timeout_s: float, user: str | None = None) -> ExecResult:
        """Run a command in a login bash, to its end.

        Args:
            command: For bash.
            timeout_s: Seconds it may take.
            user: Whom to run as; None is the spec's.

        Raises:
            EnvTimeout: It took longer; it and its children were killed.
            RunnerFailed: The container is gone, or this was closed meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        shell = self._begin(user) if user is not None else self._take()
        try:
            running = shell.give(command)
            status = self._follow(running, deadline)
        except EOFError as error:
            self._retire(shell)
            raise self._ended() from error
        except BaseException:
            self._retire(shell)
            raise
        if status is None:
            self._kill(running, user or self._user)
            self._retire(shell)
            raise EnvTimeout(
                f"the command ran longer than {timeout_s:g} s and was killed: {command[:200]}",
                {"output": running.output.text()[-2000:]},
            )
        if user is None:
            self._put_back(shell)
        else:
            self._retire(shell)
        return ExecResult(status, running.output.text())

    def start(self, command: str, name: str) -> Background:
        """Start a command that goes on for as long as it likes, and collect its output.

        Args:
            command: For a login bash.
            name: What to call it in logs.
        """
        try:
            return Background(self._take().give(command), name)
        except EOFError as error:
            raise self._ended() from error

    def close(self) -> None:
        """Make running and coming commands fail; ending their processes is the container's part."""
        with self._lock:
            self._is_closed = True
            shells = list(self._open)
        for shell in shells:
            self._retire(shell)

    def _follow(self, running: Running, deadline: float) -> int | None:
        while running.status is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            running.read(left_s)
        return running.status

    def _take(self) -> Shell:
        while True:
            with self._lock:
                shell = self._idle.pop() if self._idle else None
            if shell is None:
                return self._begin(self._user)
            if shell.is_free():
                return shell
            self._retire(shell)

    def _put_back(self, shell: Shell) -> None:
        with self._lock:
            if not self._is_closed and len(self._idle) < MAX_IDLE:
                self._idle.append(shell)
                return
        self._retire(shell)

    def _begin(self, user: str) -> Shell:
        self._check_open()
        try:
            with translated("no shell can be started in the container"):
                made = self._daemon.sdk.api.exec_create(
                    self._container_id,
                    ["bash", "-c", WAITING_SHELL],
                    stdin=True,
                    user=user,
                    environment=dict(self._variables),
                )
                shell = Shell(ExecStream(self._daemon.start_exec(made["Id"])))
        except GymQueueError as error:
            raise self._ended(error) from error
        with self._lock:
            self._open.add(shell)
            is_late = self._is_closed
        if is_late:
            self._retire(shell)
            self._check_open()
        return shell

    def _retire(self, shell: Shell) -> None:
        with self._lock:
            self._open.discard(shell)
        shell.close()

    def _kill(self, doomed: Running, user: str) -> None:
        """Kill a command's processes as its own user, then as root: either may lack the right to some."""
        for who in dict.fromkeys((user, "0:0")):
            try:
                shell = self._begin(who)
                running = shell.give(f"set -- {doomed.id} {doomed.leader}\n{KILLER}")
                self._follow(running, time.monotonic() + KILL_TIMEOUT_S)
                self._retire(shell)
            except (EOFError, GymQueueError) as error:
                logger.warning("a command that ran out of time may still run: %s", error)

    def _ended(self, error: GymQueueError | None = None) -> GymQueueError:
        if self._is_closed:
            return RunnerFailed("the environment was closed: create a new one")
        unknown = RunnerFailed(
            "the shell of a command in the container ended before the command did: something inside killed it"
        )
        return self._explain_end() or error or unknown

    def _check_open(self) -> None:
        if self._is_closed:
            raise RunnerFailed("the environment was closed: create a new one")
