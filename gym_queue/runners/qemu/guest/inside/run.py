"""Puts the parts together and lets them run."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys

from .calls import Calls
from .link import Link
from .port import Port
from .programs import Children

CGROUP = "/sys/fs/cgroup/gym-guest"


def main() -> None:
    """Serve the host: ``PORT FOLDER DIGEST [--detach]``."""
    path, folder, digest, *options = sys.argv[1:]
    os.makedirs(folder, 0o711, exist_ok=True)
    if "--detach" in options:
        _detach(os.path.join(folder, "log"))
    with selectors.DefaultSelector() as selector:
        children = Children()
        _watch_children(selector, children)
        calls = Calls(selector, children, folder)
        port = Port(path)
        link = Link(selector, port, bytes.fromhex(digest), on_open=calls.open, on_lost=calls.forget)
        if "--detach" not in options:
            print("ready", flush=True)  # noqa: T201  whoever started it waits for this line
        _serve(selector, link)


def _serve(selector: selectors.BaseSelector, link: Link) -> None:
    while True:
        for key, _ in selector.select(link.turn()):
            if selector.get_map().get(key.fd) is not None:  # else one of the others let it go
                key.data()


def _watch_children(selector: selectors.BaseSelector, children: Children) -> None:
    reader, writer = socket.socketpair()

    def reap() -> None:
        with contextlib.suppress(BlockingIOError):
            reader.recv(4096)
        children.reap()

    for each in (reader, writer):
        each.settimeout(0)
    signal.signal(signal.SIGCHLD, lambda *_: writer.fileno())  # the handler keeps the pair open
    signal.set_wakeup_fd(writer.fileno())
    selector.register(reader, selectors.EVENT_READ, reap)


def _detach(log: str) -> None:
    """Leave the process that started this one, its session and its service: those may end."""
    if os.fork():
        os._exit(0)
    os.setsid()
    with contextlib.suppress(OSError):  # no such control groups: there is no service to leave
        os.makedirs(CGROUP, exist_ok=True)
        with open(CGROUP + "/cgroup.procs", "w") as file:
            file.write("0")
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("-900")
    nothing, told = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    )
    for wanted, fd in ((0, nothing), (1, told), (2, told)):
        os.dup2(fd, wanted)
    os.chdir("/")
