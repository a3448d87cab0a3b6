"""The owner of a worker's live environments."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gym_queue.errors import (
    Cancelled,
    EnvLost,
    EnvState,
    EnvTimeout,
    GymQueueError,
    NoCapacity,
    RunnerFailed,
)
from gym_queue.log import LogSetup, current_id, log_ids
from gym_queue.protocol.sessions import CreateRequest
from gym_queue.stats.callreports import CallCounts
from gym_queue.tracing import NO_TRACING, NOWHERE, Trace, Tracing
from gym_queue.worker.cleanup import remove_tree
from gym_queue.worker.ended import CLOSED, Ended
from gym_queue.worker.envlogs import EnvLogs
from gym_queue.worker.envprocess import EnvProcess, EnvProcesses
from gym_queue.worker.live import HostLimits, LiveEnv, check_memory
from gym_queue.worker.putaway import put_all_away
from gym_queue.worker.reaper import steady_clock, unused

logger = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 120.0
CLOSE_TIMEOUT_S = 15.0


class Host:
    """Opens, calls and closes environments, each in a process of its own. Lives on one event loop.

    Args:
        work_dir: The worker's private folder.
        runners: What this worker runs, best first.
        limits: Slots and time limits.
        log: How the environments' processes log.
        logs: What is logged about each environment.
        clock: Unix seconds; by default steps of the wall clock do not show in it.
        tracing: Makes spans of what environments do.
    """

    def __init__(
        self,
        work_dir: Path,
        runners: tuple[str, ...],
        limits: HostLimits,
        *,
        log: LogSetup | None = None,
        logs: EnvLogs | None = None,
        clock: Callable[[], float] | None = None,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self.runners = runners
        self.limits = limits
        self.tracing = tracing
        self.counts = CallCounts()
        """Of the calls to all environments, for the master."""
        self._work_dir = work_dir
        self._clock = clock or steady_clock()
        self._envs: dict[str, LiveEnv] = {}
        self._ended = Ended()
        self._starting = asyncio.Semaphore(limits.max_starting or limits.max_envs or 1)
        self.is_cut_off: Callable[[], bool] = lambda: False
        """Whether clients cannot reach this worker: their leases do not run meanwhile."""
        self.reaped_count = 0
        """Environments that were closed because nobody used them."""
        self.logs = logs or EnvLogs()
        self._processes = EnvProcesses(work_dir, runners, log=log, keep=limits.keep)
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        self._hurried = False

    async def start(self) -> None:
        """Start the fork server and the reaper of idle environments."""
        await self._processes.start()
        self._keep(self._reap_idle())

    async def finish(self, grace_s: float) -> None:
        """Take no more environments, let those that live end for ``grace_s`` seconds, then close them."""
        self.draining = True
        finish_by = time.monotonic() + grace_s
        if self._envs and grace_s:
            logger.info(
                "%d environments are open: waiting up to %g s for their clients; a second signal ends them now",
                len(self._envs),
                grace_s,
            )
        while self._envs and not self._hurried and time.monotonic() < finish_by:  # noqa: ASYNC110  ends by time as well as by event
            await asyncio.sleep(0.05)
        results = await asyncio.gather(
            *(self._end(env) for env in list(self._envs.values())), return_exceptions=True
        )
        for error in results:
            if isinstance(error, BaseException):
                logger.error("an environment did not close: %s", error)

    def hurry(self) -> None:
        """Allow ``finish`` no grace period, now or later; may be called from any thread, or a signal's handler."""
        self._hurried = True

    async def stop(self) -> None:
        """End everything: environments, fork server, work folder."""
        await self.finish(0)
        for task in list(self._tasks):
            task.cancel()
        await self._processes.stop()

    async def open(self, request: CreateRequest) -> LiveEnv:
        """Open an environment; the same id again returns the one that is open, or is being opened.

        Raises:
            NoCapacity: Every slot is taken, its machine's memory is, or the worker is draining.
            Conflict: An environment of this id is being closed.
            RunnerFailed: Its process did not come up.
            GymQueueError: What loading the specs raised.
        """
        env_id = request.env_id or _new_id()
        if (known := self._envs.get(env_id)) is not None:
            return await known.join(request)
        self._check_slot()
        now = self._clock()
        work_dir = self._work_dir / "envs" / env_id
        env = LiveEnv(env_id, request, secrets.token_urlsafe(24), work_dir, now, now, now)
        self._envs[env_id] = env  # holds the slot from here on
        self.logs.begin(env_id)
        with log_ids(env_id=env_id), self.tracing.child("open environment"):
            try:
                async with self._starting:
                    await self._open(env)
            except BaseException as error:
                why = self._explain(env, error)
                await asyncio.shield(self._discard(env))
                env.settle(why)
                raise why from error
            env.settle(None)
            logger.info("opened %s (%s)", env.opened["env_dir"] or "a spec", env.opened["runner"])
        return env

    async def _open(self, env: LiveEnv) -> None:
        if env.ending:
            raise RunnerFailed("it was closed before its turn came")
        try:
            env.work_dir.mkdir(parents=True, mode=0o700)
            self.logs.make_file(env.env_id, env.work_dir)
        except OSError as error:
            raise RunnerFailed(
                f"the folder of environment {env.env_id} cannot be made: {error.strerror or error}"
            ) from error
        process = await self._processes.spawn(env.env_id)
        arguments = {
            "request": env.request.model_dump(mode="json"),
            "runners": list(self.runners),
            "work_dir": str(env.work_dir),
            "reset_policy": self.limits.reset_policy,
            "host_policy": self.limits.host_policy.model_dump(mode="json"),
            "verifier_limits": self.limits.verifier_limits.model_dump(mode="json"),
            "bounds": self.limits.episode_bounds.model_dump(mode="json"),
            "checkpoint_dir": str(self.limits.checkpoint_dir),
            "cache_limits": self.limits.cache_limits.model_dump(mode="json"),
            "vm": self.limits.vm.dump(),
            "keep": self.limits.keep.dump() if self.limits.keep else None,
        }
        env.process = process
        env.opened = await process.call("open", arguments, timeout_s=OPEN_TIMEOUT_S)
        check_memory(env, self._envs.values(), self.limits.vm_memory_bytes)
        env.inline = env.opened["inline"]
        env.last_activity = env.last_seen = self._clock()
        self._ended.forget(env.env_id)
        self._keep(self._watch(env, process))

    def _explain(self, env: LiveEnv, error: BaseException) -> BaseException:
        """Return what the opener is told: a death while opening is the machinery's, and may be tried again."""
        if not isinstance(error, EnvLost | RunnerFailed):
            return error
        if self.draining:
            return NoCapacity("this worker is shutting down: ask the master for another")
        if env.ending:
            return Cancelled(f"environment {env.env_id} was closed while it was opened: create another")
        return RunnerFailed(f"the environment {env.env_id} died while it was opened: {error}")

    def get(self, env_id: str) -> LiveEnv:
        """Return a live environment.

        Raises:
            EnvLost: Its process died, was killed after it hung, or was closed as nobody used it.
            EnvNotFound: None has this id here.
        """
        env = self._envs.get(env_id)
        if env is None or not env.opened:
            raise self._ended.error(env_id)
        return env

    async def call(self, env_id: str, operation: str, arguments: dict[str, Any] | None = None) -> Any:
        """Run one operation in an environment; calls of one environment run one after the other.

        Raises:
            EnvNotFound: None has this id here.
            EnvTimeout: It hung; its process was killed, and its neighbours never noticed.
            EnvLost: Its process died.
        """
        env, began = self.get(env_id), time.perf_counter()
        request_id = arguments.get("request_id") if arguments else None
        try:
            reply = await self._call(env, operation, arguments)
        except GymQueueError as error:
            env.calls.add(
                operation, began, request_id=request_id or current_id("request_id"), error_code=error.code
            )
            self.counts.add(operation, time.perf_counter() - began, failed=error.status >= 500)
            raise
        step, reply = reply if operation == "step" else (None, reply)
        env.calls.add(operation, began, request_id=request_id or current_id("request_id"), step=step)
        self.counts.add(operation, time.perf_counter() - began, failed=False)
        return reply

    async def _call(self, env: LiveEnv, operation: str, arguments: dict[str, Any] | None) -> Any:
        env_id = env.env_id
        env.busy += 1
        env.last_activity = env.last_seen = self._clock()
        try:
            async with env.lock:
                process = self.get(env_id).process
                assert process is not None  # noqa: S101  get() has checked it
                with self.tracing.child(operation):
                    return await process.call(operation, arguments, timeout_s=self.limits.call_timeout_s)
        except (EnvLost, EnvState, RunnerFailed) as error:
            if not env.ending:
                raise
            raise EnvLost(
                f"environment {env_id} was closed while {operation} ran: create a new one", {"env_id": env_id}
            ) from error
        except EnvTimeout:
            self._ended.note(env_id, f"{operation} hung and its process was ended")
            await self._discard(env)
            raise
        finally:
            env.busy -= 1
            env.last_activity = env.last_seen = self._clock()

    def created_in(self, env_id: str) -> Trace:
        """Return the trace that an environment's create was part of."""
        env = self._envs.get(env_id)
        return env.trace if env is not None else NOWHERE

    def use(self, env_id: str) -> LiveEnv:
        """Return a live environment that a call is about whose bytes still come: it is not idle meanwhile.

        Raises:
            EnvNotFound, EnvLost: As ``get``.
        """
        env = self.get(env_id)
        env.last_activity = env.last_seen = self._clock()
        return env

    def keepalive(self, env_id: str) -> float | None:
        """Renew the lease of an environment's client; return its length in seconds, None when it has none.

        Raises:
            EnvNotFound, EnvLost: As ``get``.
        """
        env = self.get(env_id)
        env.last_seen = self._clock()
        return env.request.lease_s

    async def close(self, env_id: str) -> None:
        """Close an environment, even in the middle of a call; killed when it does not close in time.

        Of one that has ended, however it did, nothing is left to close.

        Raises:
            EnvNotFound: None has had this id here.
        """
        env = self._envs.get(env_id)
        if env is not None:
            await self._end(env)
        elif env_id not in self._ended:
            raise self._ended.error(env_id)

    async def _end(self, env: LiveEnv, why: str = CLOSED) -> None:
        env.ending = True
        self._ended.note(env.env_id, why)
        with log_ids(env_id=env.env_id):
            try:
                if env.process is not None:
                    closing = asyncio.ensure_future(env.process.call("close", timeout_s=CLOSE_TIMEOUT_S))
                    await asyncio.sleep(0)  # until it is sent
                    if env.busy or not env.opened:
                        await self._processes.nudge(env.env_id)
                    await closing
            except (EnvTimeout, EnvLost, RunnerFailed) as error:
                logger.warning("the environment did not close by itself: %s", error)
            await self._discard(env)
            logger.info("closed")

    def snapshot(self) -> dict[str, LiveEnv]:
        """Return the environments that are open or being opened, by id."""
        return dict(self._envs)

    @property
    def opening(self) -> list[str]:
        """The environments that are being opened."""
        return [env_id for env_id, env in self._envs.items() if not env.opened]

    def _check_slot(self) -> None:
        if self.draining:
            raise NoCapacity("this worker is draining: ask the master for another", {"retry_after_s": 1})
        if len(self._envs) >= self.limits.max_envs:
            raise NoCapacity(
                f"all {self.limits.max_envs} slots of this worker are taken: close an environment or raise --max-envs",
                {"retry_after_s": 1},
            )

    async def _discard(self, env: LiveEnv) -> None:
        """Kill what is left of an environment, wait until it is gone, and free its slot."""
        process, env.ending = env.process, True
        try:
            if process is not None:
                process.disconnect()
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._processes.kill(env.env_id)
                await self._processes.wait_gone(env.env_id)
        except (TimeoutError, GymQueueError) as error:
            logger.error("environment %s could not be cleaned up: %s", env.env_id, error or "no end in time")
        finally:
            if env.work_dir.exists():  # it never had a process, or that was not to be ended
                await asyncio.to_thread(self._remove, env)
            if self._envs.get(env.env_id) is env:
                self.logs.end(env.env_id)
                del self._envs[env.env_id]

    def _remove(self, env: LiveEnv) -> None:
        put_all_away(env.work_dir, env.env_id, self.limits.keep)
        remove_tree(env.work_dir)

    async def _watch(self, env: LiveEnv, process: EnvProcess) -> None:
        """Free the slot of an environment whose process died by itself."""
        status = await asyncio.shield(process.exited)
        if self._envs.get(env.env_id) is env and not env.ending:
            logger.warning("the process of environment %s died (status %s)", env.env_id, status)
            self._ended.note(env.env_id, "its process died")
            await self._discard(env)

    async def _reap_idle(self) -> None:
        async for env, why in unused(
            self._envs, self.limits.idle_timeout_s, self._clock, lambda: self.is_cut_off()
        ):
            logger.warning("environment %s is closed: %s", env.env_id, why)
            self.reaped_count += 1
            env.ending = True
            self._keep(
                self._end(env, f"it was reaped: {why}")
            )  # side by side: one that hangs holds up no other

    def _keep(self, work: Any) -> None:
        with log_ids(request_id=None):  # it outlives the request that began it
            task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _new_id() -> str:
    return f"{os.urandom(16).hex()}"
