from __future__ import annotations

import threading
import uuid
from collections import UserDict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gym_queue.errors import RunnerFailed
from gym_queue.runners.hostexec import HostExec, find_bash, search_path
from gym_queue.runners.processes import ENV_MARK, find_processes, sweep


class Noticed(UserDict[str, str]):
    """Variables that call a function when a command about to start reads them."""

    on_read: Callable[[], None]

    def __iter__(self) -> Iterator[str]:
        self.on_read()
        return super().__iter__()


def test_a_close_while_a_command_is_being_started_ends_that_command(tmp_path: Path) -> None:
    env_id = str(uuid.uuid4())
    variables = Noticed({"PATH": search_path(), ENV_MARK: env_id})
    commands = HostExec(find_bash(), tmp_path, variables)

    def close() -> None:
        commands.close()
        sweep(env_id, timeout_s=10)

    closing = threading.Thread(target=close)

    def close_meanwhile() -> None:
        closing.start()
        closing.join(0.2)  # a close that did not wait for the start would be over, with nothing found

    variables.on_read = close_meanwhile
    with pytest.raises(RunnerFailed, match="was closed"):
        commands.run("sleep 1000", timeout_s=10)
    closing.join(10)
    assert find_processes(env_id) == []
