"""The env process' thread that answers who only looks, while the main thread may be inside a step."""

from __future__ import annotations

import logging
import selectors
import signal
import threading
import time
from typing import Any

from gym_queue.env.episode import Episode
from gym_queue.env.eye import Eye
from gym_queue.errors import GymQueueError
from gym_queue.log import log_ids
from gym_queue.worker.ipc import FrameSocket

logger = logging.getLogger(__name__)


class EyeServer:
    """Answers looks, one after the other, from its construction on until the worker hangs up.

    Args:
        socket_path: The worker's socket; the connection says hello as the eye of the environment.
        env_id: The environment.
        episode: What is looked at.
    """

    def __init__(self, socket_path: str, env_id: str, episode: Episode) -> None:
        self._channel = FrameSocket(socket_path, {"eye": env_id})
        self._env_id, self._episode = env_id, episode
        self._eye = Eye(episode.sight)
        threading.Thread(target=self._run, name="eye", daemon=True).start()

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are the main thread's
        with log_ids(env_id=self._env_id), selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            try:
                self._serve(selector)
            except (EOFError, OSError):
                logger.debug("the worker has hung up")
            finally:
                self._eye.close()
                self._channel.close()

    def _serve(self, selector: selectors.BaseSelector) -> None:
        while True:
            idle_in_s = self._eye.idle_in_s
            if idle_in_s == 0 or not (self._channel.holds_more or selector.select(idle_in_s)):
                self._eye.close()
                continue
            call_id, operation, arguments = self._channel.receive()
            ok, payload = self._answer(operation, arguments)
            self._channel.send([call_id, ok, payload])

    def _answer(self, operation: str, arguments: dict[str, Any]) -> tuple[bool, Any]:
        try:
            return True, self._look(arguments) if operation == "look" else self._tell()
        except GymQueueError as error:
            return False, error.to_wire()
        except Exception as error:
            logger.exception("%s failed", operation)
            self._eye.close()
            broken = GymQueueError(f"{operation} failed beside the episode: {type(error).__name__}: {error}")
            return False, broken.to_wire()

    def _look(self, arguments: dict[str, Any]) -> dict[str, Any] | None:
        if time.monotonic() > arguments["until"]:
            return None  # nobody waits for it any more
        look = self._eye.look(arguments["width"], arguments["format"], known=arguments["known"])
        return {"tag": look.tag, "at": look.at, "size": look.size, "kind": look.kind, "body": look.body}

    def _tell(self) -> dict[str, Any]:
        """Return where the episode's files are; frames that are no files yet with their sizes in bytes."""
        sight = self._episode.sight()
        return {
            "episode_dir": str(sight.folder.path) if sight.folder is not None else None,
            "state": sight.state.value,
            "unwritten": sight.folder.unwritten() if sight.folder is not None else {},
        }
