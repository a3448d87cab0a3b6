"""What runs in an environment's own process: serves its worker until told to close, or the worker has gone."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import msgpack

from gym_queue.env.bounds import EpisodeBounds
from gym_queue.env.checkpoints import CacheLimits, CheckpointCache
from gym_queue.env.episode import Episode, EpisodeSetup
from gym_queue.env.source import load_source
from gym_queue.env.transfers import get_file, put_file
from gym_queue.errors import EnvLost, EnvState, GymQueueError, RequestInvalid
from gym_queue.log import log_ids
from gym_queue.protocol.observations import to_json
from gym_queue.protocol.parse import parse_body
from gym_queue.protocol.sessions import CreateRequest, EpisodeLimits, ResetRequest, StepRequest
from gym_queue.runners.base import VmOptions
from gym_queue.runners.memory import read_memory
from gym_queue.runners.processes import become_subreaper, has_children
from gym_queue.runners.qemu.room import check_room, memory_of
from gym_queue.specs.security import HostPolicy
from gym_queue.verifiers import VerifierLimits
from gym_queue.worker.envlogs import EnvLogFile
from gym_queue.worker.eyeserver import EyeServer
from gym_queue.worker.ipc import FrameSocket
from gym_queue.worker.putaway import KeepRule, put_away

logger = logging.getLogger(__name__)

Source = TypeVar("Source", str, Path)
Target = TypeVar("Target", str, Path)


NUDGE = signal.SIGUSR1
"""Tells an env process in the middle of a call that a close waits to be read."""
NO_BODY = (b"", b"null")
"""Bodies that say nothing, of calls that need none."""
CLEAN, BROKEN = 0, 1
"""Exit statuses: nothing is left of the environment, or something may be."""


class EnvServer:
    """Answers the worker's calls, one at a time, in the main thread.

    A close that comes meanwhile waits in the socket; the worker then sends the signal NUDGE, and a thread reads it.
    """

    def __init__(self, channel: FrameSocket, env_id: str, socket_path: str) -> None:
        self._channel = channel
        self._socket_path = socket_path
        self._env_id = env_id
        self._episode: Episode | None = None
        self._in_call = self._nudged = False
        self._closer: threading.Thread | None = None
        self._operations: dict[str, Callable[[dict[str, Any]], Any]] = {
            "open": self._open,
            "reset": self._reset,
            "step": self._step,
            "capture_observation": self._capture,
            "trajectory_event": lambda a: self._live.trajectory_event(a["event"]),
            "episode_limits": lambda a: self._live.set_limits(
                EpisodeLimits.model_construct(**a)
            ).model_dump(),
            "episode_dir": self._episode_dir,
            "session_info": self._session_info,
            "pause_recording": lambda _: self._live.pause_recording(),
            "resume_recording": lambda _: self._live.resume_recording(),
            "save_state": lambda a: str(self._live.save_state(Path(a["path"]) if a["path"] else None)),
            "load_state": lambda a: self._live.load_state(Path(a["path"])),
            "copy_to_env": lambda a: _copy(self._live.copy_to_env, Path(a["host_src"]), a["container_dst"]),
            "copy_from_env": lambda a: _copy(
                self._live.copy_from_env, a["container_src"], Path(a["host_dst"])
            ),
            "open_view": lambda a: str(self._live.open_view(control=a["control"])),
            "put_file": lambda a: put_file(self._live.copy_to_env, Path(a["staged"]), a["path"]),
            "get_file": lambda a: get_file(self._live.copy_from_env, a["path"], Path(a["target"])),
        }

    def serve(self) -> None:
        """Answer calls for ever; the process ends in ``_end``."""
        signal.signal(NUDGE, self._on_nudge)
        while True:
            call = self._receive()
            self._in_call = True
            if self._nudged:
                self._listen_meanwhile()
            ok, payload = self._run(call[1], call[2])
            self._in_call = False
            self._reply(call[0], ok=ok, payload=payload)
            if self._closer is not None:
                self._closer.join()  # for ever: it ends the process

    def _receive(self) -> tuple[int, str, dict[str, Any]]:
        """Return the worker's next call; ends the process on close, or when the worker has gone."""
        try:
            call_id, operation, arguments = self._channel.receive()
        except EOFError:
            self._end(None)
        if operation == "close":
            self._end(call_id)
        return call_id, operation, arguments

    def _on_nudge(self, _signal: int, _frame: FrameType | None) -> None:
        self._nudged = True
        if self._in_call:
            self._listen_meanwhile()

    def _listen_meanwhile(self) -> None:
        """Read the close in a thread: the call may never end. Calls that were sent before it are dropped."""
        if self._closer is None:
            self._closer = threading.Thread(target=self._receive_until_close, name="close", daemon=True)
            self._closer.start()

    def _receive_until_close(self) -> None:
        while True:
            self._receive()

    @property
    def _live(self) -> Episode:
        if self._episode is None:
            raise EnvState(f"the environment {self._env_id} is not open")
        return self._episode

    def _open(self, arguments: dict[str, Any]) -> dict[str, Any]:
        request = CreateRequest.model_validate(arguments["request"])
        source = load_source(
            request, arguments["runners"], HostPolicy.model_validate(arguments["host_policy"])
        )
        memory_bytes = memory_of(source.runner, source.spec)
        if memory_bytes:
            check_room(source.name, memory_bytes, read_memory())
        keep = KeepRule.parse(arguments["keep"])
        setup = EpisodeSetup(
            env_id=self._env_id,
            source=source,
            work_dir=Path(arguments["work_dir"]),
            verifier_env=dict(request.verifier_env),
            verifier_limits=VerifierLimits.model_validate(arguments["verifier_limits"]),
            checkpoints=CheckpointCache(
                Path(arguments["checkpoint_dir"]), CacheLimits.model_validate(arguments["cache_limits"])
            ),
            bounds=EpisodeBounds.model_validate(arguments["bounds"]),
            vm=VmOptions.parse(arguments["vm"]),
            reset_policy=arguments["reset_policy"],
            put_away=partial(put_away, env_id=self._env_id, rule=keep) if keep else None,
            lazy_frames=True,  # whoever reads the folder asks for episode_dir first
        )
        self._episode = Episode(setup)
        self._eye = EyeServer(self._socket_path, self._env_id, self._episode)
        return {
            "inline": self._episode.inline,
            "runner": source.runner,
            "memory_bytes": memory_bytes,
            "env_dir": str(source.env_dir) if source.env_dir else None,
            "task_id": source.task.id if source.task else None,
        }

    def _reset(self, arguments: dict[str, Any]) -> bytes:
        body = b"{}" if arguments["body"] in NO_BODY else arguments["body"]
        reply = self._live.reset(parse_body(ResetRequest, body))
        return self._encode({**reply, "_request_id": arguments["request_id"]}, arguments)

    def _step(self, arguments: dict[str, Any]) -> tuple[int, bytes]:
        reply = self._live.step(parse_body(StepRequest, arguments["body"]))
        return reply["info"]["step"], self._encode(reply, arguments)

    def _capture(self, arguments: dict[str, Any]) -> bytes:
        return self._encode({"observation": self._live.capture_observation()}, arguments)

    def _encode(self, reply: dict[str, Any], arguments: dict[str, Any]) -> bytes:
        """Return the reply's body as the client gets it, so that the worker has only to hand it on."""
        if arguments["msgpack"]:
            packed: bytes = msgpack.packb(reply, use_bin_type=True, default=str)
            return packed
        shown = {**reply, "observation": to_json(reply["observation"], inline=self._live.inline)}
        return json.dumps(shown, ensure_ascii=False, separators=(",", ":"), default=str).encode(
            "utf-8", "replace"
        )

    def _episode_dir(self, _: dict[str, Any]) -> str | None:
        self._live.flush()
        return str(self._live.episode_dir) if self._live.episode_dir else None

    def _session_info(self, _: dict[str, Any]) -> dict[str, Any] | None:
        info = self._live.session_info()
        return info.model_dump(mode="json") if info else None

    def _run(self, operation: str, arguments: dict[str, Any]) -> tuple[bool, Any]:
        try:
            return True, self._operations[operation](arguments)
        except GymQueueError as error:
            return False, error.to_wire()
        except Exception as error:
            if self._closer is not None:
                return False, EnvLost(
                    f"the environment was closed in the middle of its {operation}"
                ).to_wire()
            logger.exception("%s failed", operation)
            broken = GymQueueError(
                f"{operation} failed in the environment's process: {type(error).__name__}: {error}"
            )
            return False, broken.to_wire()

    def _end(self, call_id: int | None) -> NoReturn:
        status = CLEAN
        try:
            if self._episode is not None:
                self._episode.close()
        except Exception:
            logger.exception("the environment did not close cleanly")
            status = BROKEN
        if call_id is not None:
            self._reply(call_id, ok=True, payload=None)
        os._exit(
            BROKEN if has_children() else status
        )  # the main thread may be inside a call that never returns

    def _reply(self, call_id: int, *, ok: bool, payload: Any) -> None:
        try:
            self._channel.send([call_id, ok, payload])
        except GymQueueError as error:
            self._reply(call_id, ok=False, payload=error.to_wire())
        except OSError:
            logger.debug("the worker has gone; the next read ends this process")


def _copy(copy: Callable[[Source, Target], None], source: Source, target: Target) -> None:
    """Copy; a path that the system refuses is the caller's to mend."""
    try:
        copy(source, target)
    except OSError as error:
        raise RequestInvalid(
            f"{source} cannot be copied to {target}: {error.strerror or error}; name other paths"
        ) from error


def keep_lines(folder: Path) -> None:
    """Let what this process logs be asked for: it is written to the environment's folder as well."""
    try:
        logging.getLogger().addHandler(EnvLogFile(folder))
    except OSError as error:
        logger.warning("the environment's lines are not kept for who asks: %s", error)


def main(socket_path: str, env_id: str) -> None:
    """Serve one environment over the worker's socket. Never returns."""
    become_subreaper()  # daemons that leave the sandbox's session stay our children, and end with us
    with log_ids(env_id=env_id):
        keep_lines(Path(socket_path).parent / "envs" / env_id)
        try:
            channel = FrameSocket(socket_path, {"env_id": env_id, "pid": os.getpid()})
            EnvServer(channel, env_id, socket_path).serve()
        except BaseException:
            logger.exception("the environment's process failed")
            sys.stderr.flush()
            os._exit(1)
