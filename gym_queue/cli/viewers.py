"""Showing an environment's screen to the person at the terminal: a port for viewers, a page, a program that opens it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from gym_queue.env.local import LocalGymEnv
from gym_queue.env.viewerport import ViewerPort
from gym_queue.errors import Forbidden, NotSupported
from gym_queue.protocol.sessions import SessionInfo

ASK_FOR_IT = "the environment has no viewer: set vnc.enable to true in its spec (docs/desktops.md)"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a screen can be seen."""

    lines: tuple[str, ...]
    """For people."""
    open: Callable[[], str | None]
    """Opens it with what this machine has; returns why it could not."""


def remote_place(url: str, session: SessionInfo) -> Place:
    """Return where an environment of a worker can be seen: by a WebSocket, and on the dashboard's page of its master.

    Args:
        url: Of the master, or of the worker.
        session: Of the environment.

    Raises:
        NotSupported: Its spec asks for no viewer, or its runner has none.
    """
    if session.vnc_url is None:
        raise NotSupported(ASK_FOR_IT)
    base = url.rstrip("/")
    parts = urlsplit(base)
    socket = parts._replace(scheme={"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)).geturl()
    page = f"{base}/dashboard?view=environment&env={quote(session.env_id, safe='')}"
    password = (f"its password: {session.vnc_password}",) if session.vnc_password else ()
    lines = (f"live view: {page}", f"VNC by WebSocket (noVNC): {socket}{session.vnc_url}", *password)
    return Place(lines, lambda: _open_page(page))


def local_place(env: LocalGymEnv, session: SessionInfo, port: ViewerPort) -> Place:
    """Return where an environment of this process can be seen: at a port of this machine, for viewers of this machine.

    Raises:
        NotSupported: Its spec asks for no viewer, or its runner has none.
        RunnerFailed: The screen's server did not come up.
    """
    try:
        port.show(env.open_view(control=True))
        only = ""
    except Forbidden:
        port.show(env.open_view(control=False))
        only = ", to look only"
    password = (f"its password: {session.vnc_password}",) if session.vnc_password else ()
    return Place((f"VNC{only}: {port.address}", *password), lambda: _open_viewer(port))


def _open_page(url: str) -> str | None:
    return None if webbrowser.open(url) else "this machine has no browser to open it in"


def _open_viewer(port: ViewerPort) -> str | None:
    if sys.platform == "darwin":
        command = ["open", port.address]
    elif shutil.which("vncviewer"):
        command = ["vncviewer", f"127.0.0.1::{port.number}"]
    else:
        return "this machine has no vncviewer: install one, or connect another program to the address"
    subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return None
