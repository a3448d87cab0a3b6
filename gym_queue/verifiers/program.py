"""Program verifiers: a function of the task's author, run in a process of its own, with a deadline."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from gym_queue.errors import GymQueueError, VerifierFailed
from gym_queue.runners.processes import ENV_MARK, kill_session
from gym_queue.verifiers.base import Verdict, VerifierRequest, parse_verdict

logger = logging.getLogger(__name__)

CALL_TIMEOUT_S = 300.0
"""Limit of one command that a verifier runs inside the sandbox."""
LOG_TAIL_BYTES = 2000
LINE_LIMIT = 16 << 20
"""Longest message a verifier may send, in bytes."""

CHILD = str(Path(__file__).with_name("child.py"))
"""Run as a file: it needs the standard library alone, and importing the package takes longer than most verifiers."""


def verify_program(request: VerifierRequest) -> Verdict:
    """Run ``success.spec.program`` over the episode.

    The child asks for the sandbox (exec_capture, copy_from_env, copy_to_env) over a socket and this
    process, which owns the runner, answers.

    Raises:
        VerifierFailed: No program is named, or it raised, exited, hung, or returned no verdict.
    """
    success = request.task.success
    program = str(success.spec.get("program") or "") if success else ""
    if "::" not in program and ":" not in program:
        raise VerifierFailed(
            f"the task {request.task.id} names no verifier: success.spec.program must be 'verifier.py::function' or 'module:function', not {program!r}"
        )
    log_path = request.episode_dir / "verifier.log"
    ours, theirs = socket.socketpair()
    with ours, log_path.open("wb") as log:
        process = _start(theirs, log, request)
        try:
            raw = _converse(ours, process, request, program)
        except TimeoutError:
            raise VerifierFailed(
                f"the verifier {program} of task {request.task.id} ran longer than its {request.timeout_s:g} s and was killed"
            ) from None
        except VerifierFailed as error:
            tail = _tail(log_path)
            raise VerifierFailed(f"{error}{'; its output ends: ' + tail if tail else ''}") from error
        finally:
            _end(process)
    return parse_verdict(raw, mode="program", where=program)


def _tail(path: Path) -> str:
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
        return log.read(LOG_TAIL_BYTES).decode(errors="replace").strip()


def _start(theirs: socket.socket, log: IO[bytes], request: VerifierRequest) -> subprocess.Popen[bytes]:
    keep = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH")
    variables = {name: os.environ[name] for name in keep if name in os.environ}
    variables |= {"HOME": str(request.episode_dir), "PYTHONDONTWRITEBYTECODE": "1", **request.variables}
    variables[ENV_MARK] = request.env_id  # closing the env ends a verifier that still runs, and its daemons
    with theirs:
        return subprocess.Popen(
            [sys.executable, "-P", CHILD, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=request.episode_dir,
            start_new_session=True,
        )


def _converse(
    channel: socket.socket, process: subprocess.Popen[bytes], request: VerifierRequest, program: str
) -> Any:
    """Answer the child's calls until it sends its result; TimeoutError past the deadline."""
    deadline = time.monotonic() + request.timeout_s
    where = f"the verifier {program} of task {request.task.id}"
    channel.settimeout(request.timeout_s)
    with channel.makefile("rb") as lines:
        _send(channel, _question(request, program))
        while True:
            channel.settimeout(_left_s(deadline))
            try:
                line = lines.readline(LINE_LIMIT)
            except ConnectionResetError:
                line = b""
            if len(line) == LINE_LIMIT:
                raise VerifierFailed(f"{where} returned more than {LINE_LIMIT >> 20} MB: return less")
            if not line.endswith(b"\n"):
                raise VerifierFailed(
                    f"{where} exited before it returned a verdict (status {_status(process)})"
                )
            message = json.loads(line)
            if "failed" in message:
                raise VerifierFailed(f"{where} raised {message['failed']}")
            if "result" in message:
                return message["result"]
            answer = _answer(request, message, timeout_s=min(CALL_TIMEOUT_S, _left_s(deadline)))
            channel.settimeout(_left_s(deadline))
            _send(channel, answer)


def _question(request: VerifierRequest, program: str) -> dict[str, Any]:
    return {
        "program": program,
        "task_dir": str(request.task_dir) if request.task_dir else None,
        "env_dir": str(request.env_dir) if request.env_dir else None,
        "traj": request.trajectory,
        "env_info": {
            "env_id": request.env_id,
            "episode_dir": str(request.episode_dir),
            "container": request.runner.info().container_name,
        },
        "task_info": {
            "task_id": request.task.id,
            "metadata": request.task.metadata,
            "task_spec": request.task.model_dump(mode="json"),
        },
    }


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _answer(request: VerifierRequest, message: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
    """Do what the child asks of the sandbox."""
    name, arguments = message["call"], message["arguments"]
    try:
        if name == "exec_capture":
            result = request.runner.exec(str(arguments[0]), timeout_s=timeout_s)
            return {"value": result.output}
        if name == "copy_from_env":
            request.runner.copy_from(str(arguments[0]), Path(arguments[1]))
        elif name == "copy_to_env":
            request.runner.copy_to(Path(arguments[0]), str(arguments[1]))
        else:
            return {"error": f"{name} is not in this version"}
    except (GymQueueError, OSError, ValueError) as error:  # ValueError: a NUL in a command or a path
        return {"error": str(error), "kind": type(error).__name__}
    return {"value": None}


def _send(channel: socket.socket, message: dict[str, Any]) -> None:
    with suppress(
        BrokenPipeError, ConnectionResetError
    ):  # the read that follows says that the child has gone
        channel.sendall(json.dumps(message, default=str).encode() + b"\n")


def _status(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever the verifier left in its session."""
    if process.poll() is None:
        kill_session(process.pid)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
