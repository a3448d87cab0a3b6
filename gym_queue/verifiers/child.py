"""The process an author's function runs in: loads it, calls it, sends what it returned.

A verifier is called once, a reward after each step of an episode.

Files go between it and the sandbox through two folders of its own: what comes out of the sandbox is put where this
process can only read it, and what goes in is copied by this process, with no more rights than it has.
"""

from __future__ import annotations

import base64
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
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, cast

IMAGE_BYTES = 10 << 20
"""Largest image that a model can be asked about."""


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

    def query_vlm(
        self,
        prompt: str,
        images: Iterable[str | Path | bytes | None] | None = None,
        image: str | Path | bytes | None = None,
        max_tokens: int = 2048,
        temperature: float | None = None,
        top_p: float | None = None,
    ) -> Any:
        """Ask a model about images, files or their bytes; return {success, response, parsed, error}."""
        for each in [image, *(images or ())]:
            if each is not None:
                self.call("add_image", base64.b64encode(_read_image(each)).decode())
        asked = {"prompt": prompt, "max_tokens": max_tokens, "temperature": temperature, "top_p": top_p}
        return self.call("query_vlm", json.dumps(asked))


def _read_image(image: str | Path | bytes) -> bytes:
    data = image if isinstance(image, bytes) else Path(image).read_bytes()
    if len(data) > IMAGE_BYTES:
        raise ValueError(
            f"an image of {len(data)} bytes is more than a model can be asked about: {IMAGE_BYTES}"
        )
    return data


def main(fd: int) -> None:
    """Serve a conversation over the socket ``fd``: one verification, or an episode's rewards."""
    with socket.socket(fileno=fd) as channel, cast(BinaryIO, channel.makefile("rwb")) as lines:
        question = json.loads(lines.readline())
        os.environ.update(question["variables"])
        try:
            serve(question, lines)
        except BaseException as error:  # noqa: BLE001  the author's code may raise anything, SystemExit included
            traceback.print_exc()
            send(lines, {"failed": f"{type(error).__name__}: {error}"})


def serve(question: dict[str, Any], lines: BinaryIO) -> None:
    """Call the author's function, and send what it returned as it is."""
    for folder in (question["task_dir"], question["env_dir"]):
        if folder:
            sys.path.insert(0, folder)
    env_info, traj = tools(question["env_info"], _Sandbox(lines)), question["traj"]
    sys.modules.setdefault("gym_anything.vlm", vlm_module(env_info))
    function = load(question["program"], question["task_dir"])
    if not question.get("each_step"):
        send(lines, {"result": function(traj, env_info, question["task_info"])})
        return
    send(lines, {"result": None})  # ready
    while line := lines.readline():
        grow(traj, json.loads(line))
        send(lines, {"result": function(traj, env_info, question["task_info"])})


def grow(traj: dict[str, Any], step: dict[str, Any]) -> None:
    """Add a step, and the screen after it, to what the function is shown."""
    event, frame = step["event"], step["frame"]
    traj["steps"].append(event)
    if frame:
        traj["frames"].append(frame)
        traj["last_frame"] = frame
        traj["step_frames"][event["idx"]] = frame


def tools(env_info: dict[str, Any], sandbox: _Sandbox) -> dict[str, Any]:
    """Return ``env_info`` with its functions."""
    return {
        **env_info,
        "exec_capture": lambda cmd: sandbox.call("exec_capture", cmd),
        "copy_from_env": lambda src, host_dst: sandbox.copy_from(src, host_dst),
        "copy_to_env": lambda host_src, dst: sandbox.copy_to(host_src, dst),
        "query_vlm": sandbox.query_vlm,
        "sample_trajectory_frames": sample_frames,
        "get_first_screenshot": lambda traj: traj.get("first_frame"),
        "get_final_screenshot": lambda traj: traj.get("final_screenshot") or traj.get("last_frame"),
    }


def vlm_module(env_info: dict[str, Any]) -> ModuleType:
    """Return what ``from gym_anything.vlm import ..`` finds: verifiers written for it do that."""
    module = ModuleType("gym_anything.vlm")
    for name in ("query_vlm", "sample_trajectory_frames", "get_first_screenshot", "get_final_screenshot"):
        setattr(module, name, env_info[name])
    return module


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


def sample_frames(traj: dict[str, Any], n: int = 5, *, num_samples: int | None = None) -> list[str]:
    """Return ``n`` (or ``num_samples``) of the episode's frames, evenly spaced, first and last included."""
    n = n if num_samples is None else num_samples
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
