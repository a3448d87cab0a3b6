"""A client that drives one environment and keeps its books."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from gym_queue.chaos.ledger import Ledger, Loss, StepCount
from gym_queue.client import AsyncRemoteGymEnv
from gym_queue.errors import EnvLost, GymQueueError

CALL_TIMEOUT_S = 60.0
ACTION = {"keyboard": {"keys": "a"}}
_ACTED = re.compile(r"(\d+) actions")


def null_spec(*, create_delay_s: float = 0.0, step_delay_s: float = 0.0) -> dict[str, Any]:
    """Return the spec of an environment that counts actions, and shows no screen that would have to be fetched.

    Args:
        create_delay_s: How long a start takes, in seconds.
        step_delay_s: How long an action takes, in seconds.
    """
    return {
        "id": "chaos",
        "runner": "fake",
        "observation": [{"type": "cli_stdout"}],
        "action": [{"type": "keyboard"}],
        "fake": {"create_delay_s": create_delay_s, "step_delay_s": step_delay_s},
    }


class Books:
    """What all drivers of a scenario write into."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.losses: list[Loss] = []
        self.sentences: list[str] = []
        """What clients were told, other than that an environment is lost."""

    def fail(self, error: GymQueueError, env: AsyncRemoteGymEnv | None, what: str, since: float) -> None:
        """Write an error down."""
        self.ledger.count_error(error.code)
        if isinstance(error, EnvLost) and env is not None:
            self.lose(env.env_id, str(env.worker_id), since, str(error))
        else:
            where = f" {env.env_id} on {env.worker_id}" if env is not None else ""
            self.sentences.append(f"{what}{where}: {error.code}: {error}")

    def lose(self, env_id: str, worker_id: str, since: float, sentence: str) -> None:
        """Write down that a client was told its environment is gone."""
        self.ledger.envs_lost += 1
        self.losses.append(Loss(env_id, worker_id, since, time.monotonic(), sentence))


class Driver:
    """One client.

    Args:
        url: The master's.
        token: The cluster token.
        spec: Of its environments.
        books: Shared by all.
        options: Of AsyncRemoteGymEnv.
    """

    def __init__(self, url: str, token: str, spec: dict[str, Any], books: Books, **options: Any) -> None:
        self._url, self._books = url, books
        self._options: dict[str, Any] = {
            "env_spec": spec,
            "token": token,
            "timeout": CALL_TIMEOUT_S,
            "verifier_env": {},
            **options,
        }
        self._count = StepCount()
        self.env: AsyncRemoteGymEnv | None = None
        self.answered_at = 0.0
        """When its last step was answered."""
        self.answers = 0
        self.opened = 0
        self._since = 0.0
        self._is_lost = self._leaves = False

    @property
    def worker_id(self) -> str:
        """Of its environment."""
        return str(self.env.worker_id) if self.env is not None else ""

    async def open(self, **options: Any) -> AsyncRemoteGymEnv:
        """Open an environment.

        Raises:
            GymQueueError: It was refused; that is in the books.
        """
        self._since = time.monotonic()
        try:
            self.env = await AsyncRemoteGymEnv.open(self._url, **{**self._options, **options})
        except GymQueueError as error:
            self._books.fail(error, None, "create", self._since)
            raise
        self._is_lost = self._leaves = False
        self.opened += 1
        self._books.ledger.envs_created += 1
        return self.env

    async def reset(self) -> None:
        """Begin an episode; raises as ``open``."""
        env = self._live()
        was = self._at(env)
        try:
            await env.reset(seed=1)
        except GymQueueError as error:
            self._failed(error, env, "reset")
            raise
        if env.recreations > was[2]:
            self._recreated(was, "in the middle of a reset")
        self._count.begin()

    async def step(self) -> None:
        """Play one step; raises as ``open``."""
        env, ledger = self._live(), self._books.ledger
        was = self._at(env)
        ledger.steps_sent += 1
        try:
            observation, _, _, info = await env.step(
                [ACTION], wait_between_actions=0, settle_after_actions=False
            )
        except GymQueueError as error:
            self._count.unanswered()
            self._failed(error, env, "step")
            raise
        self.answers += 1
        self.answered_at = time.monotonic()
        if info.get("recreated"):
            self._recreated(was, str(info["lost"]))
            self._count.begin()
            return
        ledger.steps_answered += 1
        doubled, lost = self._count.take(int(info["step"]), _acted(observation))
        ledger.steps_doubled += doubled
        ledger.steps_lost += lost

    async def play(self, stop: asyncio.Event) -> None:
        """Step until told to stop or to leave, or until it fails; that is in the books."""
        try:
            while not (stop.is_set() or self._leaves):
                await self.step()
        except GymQueueError:
            return  # written down by step
        if self._leaves:
            await self.close()

    def leave(self) -> None:
        """End ``play`` after the step that runs, and close."""
        self._leaves = True

    async def close(self) -> None:
        """Close its environment, if it has one."""
        env, self.env = self.env, None
        if env is not None:
            await env.close()
            self._books.ledger.envs_closed += not self._is_lost

    def _failed(self, error: GymQueueError, env: AsyncRemoteGymEnv, what: str) -> None:
        self._books.fail(error, env, what, self._since)
        self._is_lost = self._is_lost or isinstance(error, EnvLost)

    def _live(self) -> AsyncRemoteGymEnv:
        assert self.env is not None  # noqa: S101  callers open first
        return self.env

    @staticmethod
    def _at(env: AsyncRemoteGymEnv) -> tuple[str, str, int]:
        return env.env_id, str(env.worker_id), env.recreations

    def _recreated(self, was: tuple[str, str, int], why: str) -> None:
        count = self._live().recreations - was[2]
        self._books.lose(was[0], was[1], self._since, why)
        self._since = max(self._since, self.answered_at)
        ledger = self._books.ledger
        ledger.envs_lost += count - 1  # lost while they were opened, one after the other
        ledger.envs_recreated += count
        ledger.envs_created += count


def _acted(observation: dict[str, Any]) -> int:
    """Return how many actions the sandbox says it has carried out."""
    found = _ACTED.search(str(observation.get("cli_stdout")))
    return int(found[1]) if found else 0
