"""The process a program verifier runs in: loads the author's function, calls it, sends what it returned.

Files go between it and the sandbox through two folders of its own: what comes out of the sandbox is put where this
process can only read it, and what goes in is copied by this process, with no more rights than it has.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import shutil
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast


class SandboxCallFailed(RuntimeError):
    """What exec_capture and the copies raise inside a verifier."""


class _Sandbox:
    """The calls back to the process that owns the runner."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines
        self.outbox = str(Path.cwd())

    def call(self, name: str, *arguments: object) -> Any:
        send(self._lines, {"call": name, "arguments": [str(argument) for argument in arguments]})
        reply = json.loads(self._lines.readline())
        if "error" in reply:
            if reply.get("kind") in ("PathNotFound", "FileNotFoundError"):
                raise FileNotFoundError(reply["error"])
            if reply.get("kind") in ("Forbidden", "PermissionError"):
                raise PermissionError(reply["error"])
            raise SandboxCallFailed(reply["error"])
        return reply["value"]

    def copy_from(self, src: str | Path, host_dst: str | Path) -> None:
        target = Path(host_dst).absolute()
        staged = Path(self.call("copy_from_env", src))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if staged.is_dir():
                shutil.copytree(staged, target, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy(staged, target / Path(src).name if target.is_dir() else target)
        finally:
            self.call("forget")

    def copy_to(self, host_src: str | Path, dst: str) -> None:
        source = Path(host_src).absolute()
        with tempfile.TemporaryDirectory(dir=self.outbox) as folder:
            staged = Path(folder, source.name)
            if source.is_dir():
                shutil.copytree(source, staged, symlinks=True)
            else:
                shutil.copy2(source, staged)
            self.call("copy_to_env", staged, dst)


def main(fd: int) -> None:
    """Serve one verification over the socket ``fd``."""
    with socket.socket(fileno=fd) as channel, cast(BinaryIO, channel.makefile("rwb")) as lines:
        question = json.loads(lines.readline())
        os.environ.update(question["variables"])
        try:
            result = run(question, _Sandbox(lines))
            send(lines, {"result": result})
        except BaseException as error:  # noqa: BLE001  the author's code may raise anything, SystemExit included
            traceback.print_exc()
            send(lines, {"failed": f"{type(error).__name__}: {error}"})


def run(question: dict[str, Any], sandbox: _Sandbox) -> Any:
    """Call the author's function and return its verdict as it is."""
    for folder in (question["task_dir"], question["env_dir"]):
        if folder:
            sys.path.insert(0, folder)
    function = load(question["program"], question["task_dir"])
    env_info = {
        **question["env_info"],
        "exec_capture": lambda cmd: sandbox.call("exec_capture", cmd),
        "copy_from_env": lambda src, host_dst: sandbox.copy_from(src, host_dst),
        "copy_to_env": lambda host_src, dst: sandbox.copy_to(host_src, dst),
        "query_vlm": lambda *args, **kwargs: sandbox.call("query_vlm"),  # noqa: ARG005  any signature: it raises
        "sample_trajectory_frames": sample_frames,
        "get_first_screenshot": lambda traj: traj.get("first_frame"),
        "get_final_screenshot": lambda traj: traj.get("final_screenshot") or traj.get("last_frame"),
    }
    return function(question["traj"], env_info, question["task_info"])


def load(program: str, task_dir: str | None) -> Callable[..., Any]:
    """Return the function ``program`` names: ``file.py::function`` or ``module:function``."""
    place, _, name = program.partition("::") if "::" in program else program.partition(":")
    if not place.endswith(".py"):
        return cast(Callable[..., Any], getattr(importlib.import_module(place), name))
    path = Path(task_dir or ".", place)
    spec = importlib.util.spec_from_file_location("task_verifier", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"there is no verifier file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["task_verifier"] = module
    spec.loader.exec_module(module)
    return cast(Callable[..., Any], getattr(module, name))


def sample_frames(traj: dict[str, Any], n: int = 5) -> list[str]:
    """Return ``n`` of the episode's frames, evenly spaced, first and last included."""
    frames = list(traj.get("frames") or [])
    if n <= 0 or not frames:
        return []
    if len(frames) <= n or n == 1:
        return frames[:n]
    return [frames[math.floor(i * (len(frames) - 1) / (n - 1))] for i in range(n)]


def send(lines: BinaryIO, message: dict[str, Any]) -> None:
    """Write one message."""
    lines.write(json.dumps(message, default=_plain).encode() + b"\n")
    lines.flush()


def _plain(value: object) -> object:
    """Return what JSON has no form for as its plain value, as numpy's scalars know theirs; else as text."""
    item = getattr(value, "item", None)
    plain = item() if callable(item) else value
    return plain if isinstance(plain, bool | int | float) else str(value)
