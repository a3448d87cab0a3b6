"""Many remote environments, driven at once from code that is not async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import uvloop

from gym_queue.client.aio import AsyncRemoteGymEnv
from gym_queue.errors import GymQueueError, RequestInvalid

T = TypeVar("T")

STOP_TIMEOUT_S = 10.0

Action = Mapping[str, Any]
EnvFactory = Callable[[], Awaitable[AsyncRemoteGymEnv]]
EnvConfig = Mapping[str, Any]
"""Keywords of RemoteGymEnv, ``remote_url`` among them."""


@dataclass(frozen=True, slots=True)
class EnvResult:
    """What one environment answered to a reset or step."""

    observation: dict[str, Any] | None = None
    """None after an error."""
    reward: float = 0.0
    """NaN after an error: a failure is never a reward."""
    done: bool = False
    info: dict[str, Any] = field(default_factory=dict)
    error: GymQueueError | None = None
    """Why there is no answer."""


class VectorResult:
    """What every environment answered, in their order; unpacks to observations, rewards, dones, infos.

    Args:
        results: One for each environment.
    """

    def __init__(self, results: Sequence[EnvResult]) -> None:
        self.results = tuple(results)
        self.observations = [each.observation for each in results]
        self.rewards = [each.reward for each in results]
        self.dones = [each.done for each in results]
        self.infos = [each.info for each in results]
        self.errors = [each.error for each in results]

    def __iter__(self) -> Iterator[list[Any]]:
        return iter((self.observations, self.rewards, self.dones, self.infos))

    def raise_errors(self) -> None:
        """Raise an ExceptionGroup of all errors, each with a note that names its environment; return if there are none."""
        for index, error in enumerate(self.errors):
            if error is not None:
                error.add_note(f"environment {index} of {len(self.errors)}")
        found = [error for error in self.errors if error is not None]
        if found:
            raise ExceptionGroup(f"{len(found)} of {len(self.errors)} environments failed", found)


class RemoteVectorEnv:
    """Opens environments and drives them at once; one that fails has its error in its place, and the others go on.

    Args:
        envs: For each environment the keywords of RemoteGymEnv, or a function that returns an awaitable
            AsyncRemoteGymEnv.
        autoreset: As Gymnasium's next-step mode: the step after an episode's last one ignores its actions and
            resets; it answers with the new episode's first observation, reward 0 and ``info["autoreset"]``.
        raise_errors: Raise what ``VectorResult.raise_errors`` does, from every reset and step.

    Raises:
        ExceptionGroup: Of the errors of those that could not be opened; no environment is left open then.
    """

    def __init__(
        self, envs: Sequence[EnvFactory | EnvConfig], *, autoreset: bool = False, raise_errors: bool = False
    ) -> None:
        self._factories = [_factory(each) for each in envs]
        self._autoreset = autoreset
        self._raise_errors = raise_errors
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gym-queue-vector", daemon=True)
        self._thread.start()
        try:
            self._envs = self._run(_open_all(self._factories))
        except BaseException:
            self._stop()
            raise
        self._ended = [False] * len(self._envs)

    @property
    def envs(self) -> tuple[AsyncRemoteGymEnv, ...]:
        """The environments; their coroutines belong to this object's event loop."""
        return tuple(self._envs)

    def reset(self, seed: int | Sequence[int | None] | None = None) -> VectorResult:
        """Start an episode in every environment.

        Args:
            seed: One for each; or the first one's, the others taking those that follow it.
        """
        seeds = self._each(_seeds(seed, len(self)), "seeds")
        return self._all([self._reset_one(index, each) for index, each in enumerate(seeds)])

    def reset_one(self, index: int, seed: int | None = None) -> EnvResult:
        """Start an episode in one environment."""
        return self._all([self._reset_one(index, seed)]).results[0]

    def step(
        self,
        actions: Sequence[Sequence[Action]],
        wait_between_actions: float = 0.2,
        mark_done: bool | Sequence[bool] = False,
        **options: Any,
    ) -> VectorResult:
        """Step every environment.

        Args:
            actions: For each environment its list of actions.
            wait_between_actions: Seconds between two actions of one list.
            mark_done: For all, or for each.
            options: Further keywords of GymEnv.step, for all.
        """
        marks = [mark_done] * len(self) if isinstance(mark_done, bool) else mark_done
        pairs = zip(
            self._each(actions, "lists of actions"), self._each(marks, "values of mark_done"), strict=True
        )
        return self._all(
            [
                self._step_one(index, each, wait_between_actions, mark_done=mark, **options)
                for index, (each, mark) in enumerate(pairs)
            ]
        )

    def reopen(self, index: int) -> None:
        """Close an environment, one that is lost too, and open it anew; reset it before its next step.

        Raises:
            GymQueueError: It could not be opened.
        """

        async def anew() -> AsyncRemoteGymEnv:
            await self._envs[index].close()
            return await self._factories[index]()

        self._envs[index] = self._run(anew())
        self._ended[index] = True  # so that autoreset starts its first episode

    def close(self) -> None:
        """End all environments. Safe to call twice."""
        if self._thread.is_alive():
            try:
                self._run(_close_all(self._envs))
            finally:
                self._stop()

    async def _reset_one(self, index: int, seed: int | None = None) -> EnvResult:
        observation = await self._envs[index].reset(seed)
        self._ended[index] = False
        return EnvResult(observation)

    async def _step_one(
        self, index: int, actions: Sequence[Action], wait_s: float, **options: Any
    ) -> EnvResult:
        if self._autoreset and self._ended[index]:
            first = await self._reset_one(index)
            return EnvResult(first.observation, info={"autoreset": True})
        observation, reward, done, info = await self._envs[index].step(actions, wait_s, **options)
        self._ended[index] = done
        return EnvResult(observation, reward, done, info)

    def _all(self, coroutines: Sequence[Coroutine[Any, Any, EnvResult]]) -> VectorResult:
        result = VectorResult(self._run(_settle_all(coroutines)))
        if self._raise_errors:
            result.raise_errors()
        return result

    def _each(self, values: Sequence[T], what: str) -> Sequence[T]:
        if len(values) != len(self):
            raise RequestInvalid(f"{len(values)} {what} for {len(self)} environments: give one for each")
        return values

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop; Ctrl-C here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except (KeyboardInterrupt, CancelledError):
            future.cancel()
            raise

    def _stop(self) -> None:
        self._run(_finish_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __len__(self) -> int:
        return len(self._factories)

    def __enter__(self) -> RemoteVectorEnv:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _factory(env: EnvFactory | EnvConfig) -> EnvFactory:
    if isinstance(env, Mapping):
        return lambda: AsyncRemoteGymEnv.open(**env)
    if not callable(env):
        raise RequestInvalid(
            f"an environment is given as a {type(env).__name__}: give keywords or a function"
        )
    return env


def _seeds(seed: int | Sequence[int | None] | None, count: int) -> Sequence[int | None]:
    if seed is None:
        return [None] * count
    return seed if isinstance(seed, Sequence) else [int(seed) + index for index in range(count)]


async def _open_all(factories: Sequence[EnvFactory]) -> list[AsyncRemoteGymEnv]:
    opened: dict[int, AsyncRemoteGymEnv] = {}

    async def open_one(index: int) -> None:
        try:
            opened[index] = await factories[index]()
        except Exception as error:
            error.add_note(f"environment {index} of {len(factories)}")
            raise

    try:
        async with asyncio.TaskGroup() as group:
            for index in range(len(factories)):
                group.create_task(open_one(index))
    except BaseException:
        await _close_all(list(opened.values()))
        raise
    return [opened[index] for index in range(len(factories))]


async def _close_all(envs: Sequence[AsyncRemoteGymEnv]) -> None:
    await asyncio.gather(*(env.close() for env in envs))


async def _settle_all(coroutines: Sequence[Coroutine[Any, Any, EnvResult]]) -> list[EnvResult]:
    return await asyncio.gather(*(_settle(each) for each in coroutines))


async def _settle(coroutine: Coroutine[Any, Any, EnvResult]) -> EnvResult:
    try:
        return await coroutine
    except GymQueueError as error:
        return EnvResult(reward=float("nan"), error=error)


async def _finish_tasks() -> None:
    """Let what was cancelled clean up behind itself."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        await asyncio.wait(left, timeout=STOP_TIMEOUT_S)
    await asyncio.get_running_loop().shutdown_default_executor()
