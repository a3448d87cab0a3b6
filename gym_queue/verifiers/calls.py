"""What an author's process may ask of the process that owns the sandbox."""

from __future__ import annotations

from typing import Any

from gym_queue.errors import GymQueueError
from gym_queue.verifiers.base import VerifierRequest
from gym_queue.verifiers.folder import VerifierFolder
from gym_queue.verifiers.vlm.question import ModelCalls

CALL_TIMEOUT_S = 300.0
"""Limit of one command that a verifier runs inside the sandbox."""


class SandboxCalls:
    """Carries out one call after the other.

    Args:
        request: The episode, and its runner.
        folder: Where files are handed over.
    """

    def __init__(self, request: VerifierRequest, folder: VerifierFolder) -> None:
        self._request = request
        self._folder = folder
        self.models = ModelCalls(request)

    def answer(self, message: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
        """Do what the author's process asks, and return what it is told.

        Raises:
            VerifierFailed: The model that it asked did not answer: what it returns afterwards is worth nothing.
        """
        name, given = message.get("call"), message.get("arguments")
        arguments = [str(each) for each in given] if isinstance(given, list) else []
        if name in ("add_image", "query_vlm"):
            return self.models.answer(str(name), arguments, timeout_s=timeout_s)
        try:
            return {"value": self._do(str(name), arguments, timeout_s=min(CALL_TIMEOUT_S, timeout_s))}
        except (GymQueueError, OSError, ValueError, RecursionError) as error:  # ValueError: a NUL in a path
            return {"error": str(error), "kind": type(error).__name__}

    def _do(self, name: str, arguments: list[str], *, timeout_s: float) -> str | None:
        match name, arguments:
            case "exec_capture", [command]:
                return self._request.runner.exec(command, timeout_s=timeout_s).output
            case "copy_from_env", [source]:
                return str(self._folder.receive(source))
            case "forget", []:
                self._folder.forget()
            case "copy_to_env", [source, target]:
                self._folder.hand_in(source, target)
            case _:
                raise ValueError(f"{name} is not in this version")
        return None
