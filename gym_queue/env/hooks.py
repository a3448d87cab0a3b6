"""Hooks: commands of the spec run inside the sandbox. A hook that fails, fails the reset."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from gym_queue.errors import EnvTimeout, HookFailed
from gym_queue.runners.base import Runner

logger = logging.getLogger(__name__)

OUTPUT_TAIL_CHARS = 2000
"""How much of a failed hook's output its error carries."""


def run_hook(runner: Runner, name: str, commands: Sequence[str], *, timeout_s: float) -> None:
    """Run a hook's commands, one after the other, in a login bash inside the sandbox.

    Args:
        runner: The sandbox.
        name: What the hook is called in the spec, for the error.
        commands: Shell commands.
        timeout_s: Limit of each command.

    Raises:
        HookFailed: A command exited non-zero or passed its limit; the tail of its output is in the error.
    """
    for command in commands:
        logger.debug("hook %s: %s", name, command)
        try:
            result = runner.exec(command, timeout_s=timeout_s)
        except EnvTimeout as error:
            tail = str(error.details.get("output", ""))[-OUTPUT_TAIL_CHARS:].strip()
            raise HookFailed(
                f"the hook {name} ran longer than its {timeout_s:g} s and was killed: {command!r}; its output ends: {tail or '(nothing)'}",
                {"hook": name, "exit_status": None, "output": tail},
            ) from error
        if result.exit_status != 0:
            tail = result.output[-OUTPUT_TAIL_CHARS:].strip()
            raise HookFailed(
                f"the hook {name} exited with status {result.exit_status}: {command!r}; its output ends: {tail or '(nothing)'}",
                {"hook": name, "exit_status": result.exit_status, "output": tail},
            )
