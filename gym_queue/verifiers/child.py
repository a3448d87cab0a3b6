"""The process a program verifier runs in: loads the author's function, calls it, sends what it returned."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import socket
import sys
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


def main(fd: int) -> None:
    """Serve one verification over the socket ``fd``."""
    with socket.socket(fileno=fd) as channel, cast(BinaryIO, channel.makefile("rwb")) as lines:
        question = json.loads(lines.readline())
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
        "copy_from_env": lambda src, host_dst: sandbox.call("copy_from_env", src, Path(host_dst).absolute()),
        "copy_to_env": lambda host_src, dst: sandbox.call("copy_to_env", Path(host_src).absolute(), dst),
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


if __name__ == "__main__":
    main(int(sys.argv[1]))
