"""What an open environment's calls ask and what their replies mean, as coroutines: the core of both clients."""

from __future__ import annotations

import io
import itertools
import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from gym_queue.client import calls, replies
from gym_queue.client.calls import Call
from gym_queue.client.opening import Opened
from gym_queue.client.retry import KEYED, ONCE, SAFE, Retries
from gym_queue.client.route import Route
from gym_queue.errors import BadReply, EnvLost, EnvNotFound, EnvState, EnvTimeout, GymQueueError
from gym_queue.protocol.observations import Screen
from gym_queue.protocol.parse import parse_model
from gym_queue.protocol.sessions import EpisodeLimits, SessionInfo
from gym_queue.protocol.surface import StepResult, prepare_target

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

MAX_RECREATIONS = 3
"""Environments that are opened in the place of lost ones in one episode: more than that is no accident."""


class RemoteCalls:
    """An environment that was opened; every method of GymEnv as a coroutine.

    Args:
        opened: Of ``open_env``.
        fetch: Gets a file that an observation names, once its pixels are asked for; None gets it with the reply.
    """

    def __init__(self, opened: Opened, fetch: Callable[[str], bytes] | None = None) -> None:
        opening = opened.opening
        self.remote_url = opening.home.url
        self.env_spec, self.task_spec = opening.choice.env_spec, opening.choice.task_spec
        self.timeout = opening.timeout_s
        self.worker_reset_policy = opening.reset_policy
        self.recreations = 0
        """How often the environment was lost and opened anew."""
        self._take(opened)
        self._offload = opening.home.network.offload
        self._lazy_fetch = fetch
        self._closed = False
        self._session: SessionInfo | None = None
        self._limits = EpisodeLimits()
        self._cache: Path | None = None
        self._fetches = itertools.count()
        self._reset_fields: dict[str, Any] | None = None
        self._recreations_left = 0
        self._recreating = False

    async def reset(
        self,
        seed: int | None = None,
        use_cache: bool = False,
        cache_level: str = "pre_start",
        use_savevm: bool = False,
    ) -> dict[str, Any]:
        """Start an episode; see GymEnv.reset."""
        self._recreations_left = MAX_RECREATIONS
        self._reset_fields = {
            "seed": None if seed is None else int(seed),  # NumPy's integers too
            "use_cache": use_cache,
            "cache_level": cache_level,
            "use_savevm": use_savevm,
            "post_reset_policy": self.worker_reset_policy,
        }
        return await self._reset(self._reset_fields)

    async def step(
        self,
        actions: Sequence[Mapping[str, Any]],
        wait_between_actions: float = 0.2,
        mark_done: bool = False,
        *,
        capture_observation: bool = True,
        settle_after_actions: bool = True,
        trajectory_metadata: dict[str, Any] | None = None,
    ) -> StepResult:
        """Inject actions; see GymEnv.step."""
        fields = {
            "actions": [dict(action) for action in actions],
            "wait_between_actions": wait_between_actions,
            "mark_done": mark_done,
            "capture_observation": capture_observation,
            "settle_after_actions": settle_after_actions,
            "trajectory_metadata": trajectory_metadata,
        }
        opened = self._opened
        call = calls.step(self.env_id, fields, timeout_s=self.timeout, retries=self._retries)
        try:
            reply = await self._with_png(await self._send(call))
        except (EnvLost, EnvTimeout) as lost:
            first = await self._begin_anew(opened, lost)
            return first, 0.0, False, {"recreated": True, "lost": str(lost)}
        return replies.read_step(reply, self._lazy_fetch)

    async def close(self) -> None:
        """End the environment. Safe to call twice; a server that does not answer is logged, not raised."""
        if self._closed:
            return
        self._closed = True
        self._stop_lease()
        try:
            await self._route.end()
        except (EnvNotFound, EnvLost) as error:
            logger.debug("the environment was gone already: %s", error)
        except GymQueueError as error:
            logger.warning(
                "environment %s was not closed, its worker will when its lease ends: %s", self.env_id, error
            )
        finally:
            if (cache := self._cache) is not None:
                await self._offload(lambda: shutil.rmtree(cache, ignore_errors=True))

    async def capture_observation(self) -> dict[str, Any]:
        """Return a fresh observation without a step."""
        opened = self._opened
        try:
            return await self._observed(calls.capture_observation(self.env_id, timeout_s=self.timeout))
        except (EnvLost, EnvTimeout) as lost:
            return await self._begin_anew(opened, lost)

    async def capture_screenshot_image(self) -> Image.Image:
        """Return a fresh screenshot as an RGB image.

        Raises:
            BadReply: The environment has no screen.
        """
        screen = (await self.capture_observation()).get("screen")
        if not isinstance(screen, Screen):
            raise BadReply(
                f"environment {self.env_id} shows no screen: its spec's observation has no rgb_screen"
            )
        return await self._offload(lambda: _decode(screen.png()))

    async def log_trajectory_event(self, event: dict[str, Any]) -> None:
        """Append an event to the episode's trajectory."""
        await self._post("trajectory_event", event=event)

    async def fetch_path(self, remote_path: str, local_path: str | None = None) -> str:
        """Copy a file of the episode folder to this machine and return where it is.

        Args:
            remote_path: Absolute, or relative to the episode folder.
            local_path: Where to; None takes a temporary folder that ``close`` removes.
        """
        self._check_open()
        target = await self._offload(lambda: self._place(PurePosixPath(remote_path).name, local_path))
        await self._route.download(self._fetch_call(remote_path), target)
        return str(target)

    async def fetch_bytes(self, remote_path: str) -> bytes:
        """Return what a file of the episode folder holds."""
        self._check_open()
        return await self._route.read(self._fetch_call(remote_path))

    async def get_session_info(self) -> SessionInfo | None:
        """Return what runs behind the environment, asked once an episode; None before the first reset."""
        self._check_open()
        if self._session is None:
            reply = await self._send(calls.get(self.env_id, "session_info", timeout_s=self.timeout))
            self._session = replies.read_model(replies.SessionReply, reply).session
        return self._session

    async def set_episode_limits(
        self, *, max_steps: int | None = None, timeout_sec: float | None = None
    ) -> None:
        """Change the episode's limits; None leaves one as it is."""
        given = {"max_steps": max_steps, "timeout_sec": timeout_sec}
        limits = parse_model(EpisodeLimits, given)
        await self._send_limits(limits)
        self._limits = self._limits.model_copy(update=limits.model_dump(exclude_none=True))

    async def save_state(self, host_snapshot_path: str | Path | None = None) -> Path | None:
        """Save the environment's state; return where the snapshot is, on the worker."""
        wanted = str(host_snapshot_path) if host_snapshot_path else None
        reply = await self._post("save_state", host_snapshot_path=wanted)
        return replies.read_model(replies.SavedState, reply).snapshot_path

    async def load_state(self, host_snapshot_path: str | Path) -> None:
        """Go back to a saved state."""
        await self._post("load_state", host_snapshot_path=str(host_snapshot_path))

    async def pause_recording(self) -> None:
        """Stop recording until resumed."""
        await self._post("pause_recording")

    async def resume_recording(self) -> None:
        """Go on recording."""
        await self._post("resume_recording")

    async def copy_to_env(self, host_src: str, container_dst: str) -> None:
        """Copy a file of the worker into the sandbox."""
        await self._post("copy_to_env", host_src=host_src, container_dst=container_dst)

    async def copy_from_env(self, container_src: str, host_dst: str) -> None:
        """Copy a file of the sandbox to the worker."""
        await self._post("copy_from_env", container_src=container_src, host_dst=host_dst)

    async def upload(self, local: str | Path, inside: str) -> None:
        """Send a file of this machine into the sandbox; see GymEnv.upload."""
        self._check_open()
        await self._route.upload(calls.put_file(self.env_id, inside, timeout_s=self.timeout), Path(local))

    async def download(self, inside: str, local: str | Path) -> None:
        """Get a file of the sandbox onto this machine; see GymEnv.download."""
        self._check_open()
        call = calls.get_file(self.env_id, inside, timeout_s=self.timeout)
        await self._offload(lambda: prepare_target(Path(local)))
        await self._route.download(call, Path(local))

    async def get_episode_dir(self) -> Path | None:
        """Return the episode's folder, on the worker; None before the first reset."""
        session = self._session or await self.get_session_info()
        return Path(session.artifacts_dir) if session and session.artifacts_dir else None

    async def get_runner_name(self) -> str | None:
        """Return the runner's name as session_info has it; None before the first reset."""
        session = self._session or await self.get_session_info()
        return session.runner_name if session else None

    @property
    def env_id(self) -> str:
        """Of the environment that is driven now: another one after it was recreated."""
        return self._opened.reply.env_id

    @property
    def worker_id(self) -> str | None:
        """Its worker's; None where the server does not say."""
        return self._opened.reply.worker_id

    @property
    def worker_url(self) -> str | None:
        """Its worker's; None where the server does not say."""
        return self._opened.reply.worker_url

    @property
    def is_straight(self) -> bool:
        """Whether calls go straight to the worker, not through the master."""
        return self._route.is_straight

    @property
    def max_steps(self) -> int | None:
        """Steps of an episode; None where this side does not know."""
        return self._limits.max_steps or (self.task_spec.init.max_steps if self.task_spec else None)

    @property
    def timeout_sec(self) -> float | None:
        """Seconds of an episode; None where this side does not know."""
        return self._limits.timeout_sec or (self.task_spec.init.timeout_sec if self.task_spec else None)

    @property
    def task_description(self) -> str:
        """What the agent is told; empty without a task, or where the task is known to the worker alone."""
        return self.task_spec.description if self.task_spec else ""

    @property
    def _route(self) -> Route:
        return self._opened.route

    @property
    def _retries(self) -> Retries:
        """Of reset and step: without keys none that may happen twice."""
        return KEYED if self._opened.knows_keys else ONCE

    def _take(self, opened: Opened) -> None:
        """Drive this environment from now on, and let its lease end when this object is dropped unclosed."""
        self._opened = opened
        self._stop_lease = weakref.finalize(self, opened.stop_lease)
        self._stop_lease.atexit = False

    async def _reset(self, fields: dict[str, Any]) -> dict[str, Any]:
        while True:
            self._session, opened = None, self._opened
            call = calls.reset(self.env_id, fields, timeout_s=self.timeout, retries=self._retries)
            try:
                return await self._observed(call)
            except (EnvLost, EnvTimeout) as lost:
                await self._recreate(opened, lost)

    async def _begin_anew(self, opened: Opened, lost: GymQueueError) -> dict[str, Any]:
        """Return the first observation of an environment in the place of one that was lost, or raise the loss."""
        if self._reset_fields is None:
            raise lost
        await self._recreate(opened, lost)
        return await self._reset(self._reset_fields)

    async def _recreate(self, opened: Opened, lost: GymQueueError) -> None:
        """Open another environment, or raise the loss where that is not wanted, not any more, or being done."""
        wanted = opened.opening.on_lost == "recreate" and not self._closed
        if not wanted or not self._recreations_left or self._recreating or opened is not self._opened:
            raise lost
        self._recreations_left -= 1
        self._recreating = True
        logger.warning("environment %s is opened anew: %s", self.env_id, lost)
        try:
            self._stop_lease()
            opened.route.leave()
            self._take(await opened.opening.again())
            self.recreations += 1
            if self._limits != EpisodeLimits():
                await self._send_limits(self._limits)
        finally:
            self._recreating = False

    async def _send_limits(self, limits: EpisodeLimits) -> None:
        fields = limits.model_dump()
        await self._send(
            calls.post(self.env_id, "episode_limits", fields, timeout_s=self.timeout, retries=SAFE)
        )

    def _check_open(self) -> None:
        if self._closed:
            raise EnvState(f"environment {self.env_id} was closed: open another")

    async def _send(self, call: Call) -> dict[str, Any]:
        self._check_open()
        return await self._route.send(call)

    async def _post(self, name: str, **fields: Any) -> dict[str, Any]:
        return await self._send(calls.post(self.env_id, name, fields, timeout_s=self.timeout))

    async def _observed(self, call: Call) -> dict[str, Any]:
        reply = await self._with_png(await self._send(call))
        return replies.read_observation(reply, self._lazy_fetch)

    async def _with_png(self, reply: dict[str, Any]) -> dict[str, Any]:
        """Return a reply whose screen has its image, if no later call may fetch it."""
        path = replies.screen_path(reply) if self._lazy_fetch is None else None
        if path is None:
            return reply
        png = await self._route.read(self._fetch_call(path))
        observation = reply["observation"]
        return {**reply, "observation": {**observation, "screen": {**observation["screen"], "png": png}}}

    def _fetch_call(self, remote_path: str) -> Call:
        return calls.get(self.env_id, "fetch_path", timeout_s=self.timeout, path=remote_path)

    def _place(self, name: str, local_path: str | None) -> Path:
        if local_path is None and self._cache is None:
            self._cache = Path(tempfile.mkdtemp(prefix="gym-queue-client-"))
        cached = (self._cache or Path()) / str(next(self._fetches)) / (name or "file")
        target = Path(local_path) if local_path else cached
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def __repr__(self) -> str:
        return f"{type(self).__name__}(env_id={self.env_id!r}, remote_url={self.remote_url!r})"


def _decode(png: bytes) -> Image.Image:
    from PIL import Image  # who asks for no image needs none of it

    return Image.open(io.BytesIO(png)).convert("RGB")
