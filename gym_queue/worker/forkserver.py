"""Parent of the env processes: forks them with the imports done, and cleans up after each, however it ended.

It is a process of its own, small and single-threaded, so that forking it is safe; it outlives a worker that is
killed for as long as the clean-up takes.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import psutil

from gym_queue.env.video import has_encoder
from gym_queue.log import configure_logging
from gym_queue.runners.processes import become_subreaper, is_subreaper
from gym_queue.runners.registry import preload, remove_orphans
from gym_queue.worker import envmain
from gym_queue.worker.cleanup import SWEEP_TIMEOUT_S, kill_trees, remove_env, remove_tree
from gym_queue.worker.ipc import FrameSocket
from gym_queue.worker.putaway import KeepRule, copy_entry, entries, put_all_away

logger = logging.getLogger(__name__)

FILMED = frozenset({"docker", "qemu", "qemu_native"})
"""Runners most of whose environments are desktops with a video of each episode."""
END_GRACE_S = 5.0
"""How long env processes get to close by themselves once the worker has gone."""


class ForkServer:
    """Forks on demand, reaps, sweeps what an environment left behind, and tells the worker.

    Args:
        socket_path: The worker's unix socket.
        work_dir: The worker's folder; each environment's is below it, and all of it is removed at the end.
        runners: What the environments may run on.
        keep: Where their episodes go; None keeps none.
    """

    def __init__(
        self, socket_path: str, work_dir: Path, runners: Sequence[str] = (), *, keep: KeepRule | None = None
    ) -> None:
        self._socket_path = socket_path
        self._work_dir = work_dir
        self._keep = keep
        self._runners = runners
        self._children: dict[int, str] = {}
        self._brooms: dict[int, tuple[str, int]] = {}
        self._is_subreaper = is_subreaper()
        self._channel = FrameSocket(socket_path, {"forkserver": os.getpid()})
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_w, False)

    def serve(self) -> None:
        """Serve until the worker has gone, then end every environment."""
        signal.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ, self._on_message)
            selector.register(self._wake_r, selectors.EVENT_READ, self._on_child)
            with suppress(EOFError):
                while True:
                    for key, _ in selector.select():
                        key.data()
        self._end()

    def _on_message(self) -> None:
        self._obey(self._channel.receive())
        while self._channel.holds_more:  # the selector knows only of what is not read yet
            self._obey(self._channel.receive())

    def _obey(self, message: dict[str, str]) -> None:
        env_id = message["env_id"]
        if message["do"] == "spawn":
            self._spawn(env_id)
        else:
            self._signal(env_id, envmain.NUDGE if message["do"] == "nudge" else signal.SIGKILL)

    def _spawn(self, env_id: str) -> None:
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or no process, left: the other environments must not notice
            logger.error("the process of environment %s cannot be forked: %s", env_id, error)
            self._report(env_id, error.errno or 1)
            return
        if pid == 0:
            self._become_env(env_id)
        self._children[pid] = env_id

    def _become_env(self, env_id: str) -> None:
        self._become_child()
        envmain.main(self._socket_path, env_id)

    def _become_child(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(envmain.NUDGE, signal.SIG_IGN)  # one that comes before it serves
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(
                number, signal.SIG_DFL
            )  # an ignored signal would stay ignored in every shell inside
        self._channel.close()
        os.close(self._wake_r)
        os.close(self._wake_w)

    def _sweep(self, env_id: str, status: int) -> bool:
        """Have a process of its own remove what a dead environment left outside of this machine's processes and
        files, as a container; it may have to wait for a daemon. Returns whether it was started.
        """
        try:
            pid = os.fork()
        except OSError as error:
            logger.error("what environment %s left cannot be looked for: %s", env_id, error)
            return False
        if pid == 0:
            self._become_child()
            self._remove_orphans()
            os._exit(0)
        self._brooms[pid] = (env_id, status)
        return True

    def _remove_orphans(self) -> None:
        try:
            remove_orphans(self._runners)
        except Exception:
            logger.exception("what dead environments left may stay")

    def _signal(self, env_id: str, number: signal.Signals) -> None:
        for pid, owner in self._children.items():
            if owner == env_id:
                os.kill(pid, number)  # ours and not reaped yet: the pid cannot be another's

    def _on_child(self) -> None:
        os.read(self._wake_r, 4096)
        self._reap()

    def _reap(self) -> None:
        ended = []
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid in self._children:
                    ended.append((self._children.pop(pid), os.waitstatus_to_exitcode(status)))
                elif pid in self._brooms:
                    self._report(*self._brooms.pop(pid))
        if any(status != envmain.CLEAN for _, status in ended):
            self._kill_orphans()
        for env_id, status in ended:
            self._clean(env_id)
            if status == envmain.CLEAN or not self._sweep(env_id, status):
                self._report(env_id, status)

    def _clean(self, env_id: str) -> None:
        """Remove what is left of an environment; a subreaper has found its processes among its own children."""
        folder = self._work_dir / "envs" / env_id
        if not self._is_subreaper:
            remove_env(env_id, folder, self._save)
            return
        self._save(folder, env_id)
        remove_tree(folder)

    def _save(self, folder: Path, env_id: str) -> None:
        put_all_away(folder, env_id, self._keep)

    def _report(self, env_id: str, status: int) -> None:
        with suppress(OSError):
            self._channel.send({"env_id": env_id, "status": status})

    def _kill_orphans(self) -> None:
        """Kill what a dead environment left: its processes became children of this subreaper, marked or not."""
        deadline = time.monotonic() + SWEEP_TIMEOUT_S
        known = {*self._children, *self._brooms}
        while orphans := [child for child in psutil.Process().children() if child.pid not in known]:
            kill_trees(orphans)
            for orphan in orphans:
                with suppress(ChildProcessError):
                    os.waitpid(orphan.pid, os.WNOHANG)
            if time.monotonic() > deadline:
                logger.warning(
                    "processes of a dead environment do not end: %s", [each.pid for each in orphans]
                )
                return
            time.sleep(0.002)  # a killed parent hands us its own children, which must go as well

    def _end(self) -> None:
        for env_id in list(self._children.values()):
            self._signal(env_id, envmain.NUDGE)  # those in a call would not notice that the worker has gone
        deadline = time.monotonic() + END_GRACE_S
        while self._children and time.monotonic() < deadline:
            time.sleep(0.02)
            self._reap()
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + END_GRACE_S
        while self._children and time.monotonic() < deadline:
            time.sleep(0.02)
            self._reap()
        self._remove_orphans()
        if self._keep is not None:
            for waiting in entries(self._keep.staging):
                copy_entry(waiting, self._keep)
        remove_tree(self._work_dir)


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    """SIGCHLD only has to wake the selector."""


def main() -> None:
    """Run as ``python -m gym_queue.worker.forkserver '{"socket":..,"work_dir":..,"log":{..},"runners":[..],"keep":..}'``."""
    options = json.loads(sys.argv[1])
    configure_logging(**options["log"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends when its worker does
    become_subreaper()
    preload(options["runners"])
    if FILMED.intersection(options["runners"]):
        has_encoder()  # its 26 MB are then shared by the desktops
    gc.freeze()  # what is imported by now stays shared between the forks
    work_dir = Path(options["work_dir"])
    try:
        keep = KeepRule.parse(options["keep"])
        server = ForkServer(options["socket"], work_dir, options["runners"], keep=keep)
    except OSError as error:
        logger.error("the worker has gone before its fork server came up: %s", error)
        remove_tree(work_dir)
        sys.exit(1)
    server.serve()


if __name__ == "__main__":
    main()
