"""Program verifiers: a function of the task's author, run in a process of its own, confined, with a deadline."""

from __future__ import annotations

import json
import signal
import socket
import time
from contextlib import suppress
from typing import Any

from gym_queue.errors import GymQueueError, VerifierFailed
from gym_queue.verifiers.base import Verdict, VerifierRequest, parse_verdict, plain_text
from gym_queue.verifiers.folder import VerifierFolder
from gym_queue.verifiers.process import VerifierProcess

CALL_TIMEOUT_S = 300.0
"""Limit of one command that a verifier runs inside the sandbox."""
EXIT_TIMEOUT_S = 2.0
LINE_LIMIT = 16 << 20
"""Longest message a verifier may send, in bytes."""


def verify_program(request: VerifierRequest) -> Verdict:
    """Run ``success.spec.program`` over the episode.

    The verifier's process asks for the sandbox (exec_capture, copy_from_env, copy_to_env) over a socket and this
    process, which owns the runner, answers. The last of its output is kept as ``verifier.log``.

    Raises:
        VerifierFailed: No program is named, or it raised, exited, hung, or returned no verdict.
    """
    success = request.task.success
    program = str(success.spec.get("program") or "") if success else ""
    if "::" not in program and ":" not in program:
        raise VerifierFailed(
            f"the task {request.task.id} names no verifier: success.spec.program must be 'verifier.py::function' or 'module:function', not {program!r}"
        )
    try:
        with VerifierFolder(request) as folder:
            raw = _run(request, program, folder)
    except OSError as error:
        raise VerifierFailed(
            f"the verifier {program} of task {request.task.id} cannot be run: {error}"
        ) from error
    return parse_verdict(raw, mode="program", where=program)


def _run(request: VerifierRequest, program: str, folder: VerifierFolder) -> Any:
    ours, theirs = socket.socketpair()
    with ours:
        process = VerifierProcess(theirs, folder.plan(), request.env_id)
        failed: VerifierFailed | None = None
        try:
            return _converse(ours, process, request, program, folder)
        except TimeoutError:
            raise VerifierFailed(
                f"the verifier {program} of task {request.task.id} ran longer than its {request.limits.timeout_s:g} s and was killed"
            ) from None
        except VerifierFailed as error:
            failed = error
        finally:
            process.end()
            (request.episode_dir / "verifier.log").write_bytes(process.output())
    tail = process.tail()
    raise VerifierFailed(f"{failed}{'; its output ends: ' + tail if tail else ''}") from failed


def _converse(
    channel: socket.socket,
    process: VerifierProcess,
    request: VerifierRequest,
    program: str,
    folder: VerifierFolder,
) -> Any:
    """Answer the child's calls until it sends its result; TimeoutError past the deadline."""
    deadline = time.monotonic() + request.limits.timeout_s
    where = f"the verifier {program} of task {request.task.id}"
    channel.settimeout(request.limits.timeout_s)
    with channel.makefile("rb") as lines:
        _send(channel, folder.seen(_question(request, program)))
        while True:
            channel.settimeout(_left_s(deadline))
            try:
                line = lines.readline(LINE_LIMIT)
            except ConnectionResetError:
                line = b""
            if len(line) == LINE_LIMIT:
                raise VerifierFailed(f"{where} returned more than {LINE_LIMIT >> 20} MB: return less")
            if not line.endswith(b"\n"):
                raise VerifierFailed(f"{where} exited before it returned a verdict ({_status(process)})")
            message = _parse(line, where)
            if "failed" in message:
                raise VerifierFailed(f"{where} raised {plain_text(str(message['failed'])):.2000}")
            if "result" in message:
                return message["result"]
            answer = _answer(request, folder, message, timeout_s=min(CALL_TIMEOUT_S, _left_s(deadline)))
            channel.settimeout(_left_s(deadline))
            _send(channel, answer)


def _parse(line: bytes, where: str) -> dict[str, Any]:
    """Read a message; the verifier's code may have written anything into the socket."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise VerifierFailed(f"{where} sent what cannot be read: {error}") from error
    if not isinstance(message, dict):
        raise VerifierFailed(f"{where} sent what is no message")
    return message


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
        "variables": dict(request.variables),
    }


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _answer(
    request: VerifierRequest, folder: VerifierFolder, message: dict[str, Any], *, timeout_s: float
) -> dict[str, Any]:
    """Do what the child asks of the sandbox."""
    name, given = message.get("call"), message.get("arguments")
    arguments = [str(each) for each in given] if isinstance(given, list) else []
    try:
        match name, arguments:
            case "exec_capture", [command]:
                return {"value": request.runner.exec(command, timeout_s=timeout_s).output}
            case "copy_from_env", [source]:
                return {"value": str(folder.receive(source))}
            case "forget", []:
                folder.forget()
            case "copy_to_env", [source, target]:
                folder.hand_in(source, target)
            case _:
                return {"error": f"{name} is not in this version"}
    except (GymQueueError, OSError, ValueError, RecursionError) as error:  # ValueError: a NUL in a path
        return {"error": str(error), "kind": type(error).__name__}
    return {"value": None}


def _send(channel: socket.socket, message: dict[str, Any]) -> None:
    with suppress(
        BrokenPipeError, ConnectionResetError
    ):  # the read that follows says that the child has gone
        channel.sendall(json.dumps(message, default=str).encode() + b"\n")


def _status(process: VerifierProcess) -> str:
    status = process.wait(EXIT_TIMEOUT_S)
    if status == -signal.SIGXCPU:
        return "it used more CPU time than it may"
    return f"status {status}"
