"""How long a container's entrypoint is waited for once an X server answers; time is a number here."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gym_queue.runners.docker.exec import Shells
from gym_queue.runners.docker.xserver import ENTRYPOINT_WAIT_S, LOOK_EVERY_S, WINDOW_WAIT_S, XServer
from gym_queue.specs.env import EnvSpec

NEVER = float("inf")


class Entrypoint:
    """One that ends when its time has come, and the shells that start it."""

    def __init__(self, ends_at: float) -> None:
        self.now, self.output, self._ends_at = 0.0, "", ends_at

    def start(self, command: str, name: str) -> Entrypoint:
        assert (command, name) == ("start-desktop", "entrypoint")
        return self

    @property
    def status(self) -> int | None:
        return 0 if self.now >= self._ends_at else None

    def wait(self, timeout_s: float) -> None:
        self.now = min(self.now + timeout_s, max(self._ends_at, self.now))


@pytest.mark.parametrize(
    ("ends_at", "shows_at", "waited_s"),
    [
        (0.6, NEVER, 0.6),
        (0.6, 0.1, 0.6),
        (6.0, NEVER, 6.0),
        (NEVER, NEVER, ENTRYPOINT_WAIT_S),
        (NEVER, 1.0, 1.0 + WINDOW_WAIT_S),
        (9.0, 7.0, 9.0),
    ],
)
def test_an_entrypoint_is_waited_for_until_it_ends_or_its_window_has_stood_a_while(
    ends_at: float, shows_at: float, waited_s: float
) -> None:
    entrypoint = Entrypoint(ends_at)
    spec: dict[str, Any] = {"id": "e", "observation": [{"type": "rgb_screen"}], "action": [{"type": "mouse"}]}
    server = XServer(
        EnvSpec.model_validate({**spec, "runner": "docker", "image": "i", "entrypoint": "start-desktop"}),
        cast(Shells, entrypoint),
        lambda: None,
        lambda: entrypoint.now,
    )
    server.begin()
    server.finish(lambda: entrypoint.now >= shows_at)
    assert entrypoint.now == pytest.approx(waited_s, abs=LOOK_EVERY_S)
