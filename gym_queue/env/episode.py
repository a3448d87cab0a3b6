"""One environment's episodes: reset, step, done, close, as a state machine."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from gym_queue.env.folder import EpisodeFolder
from gym_queue.env.hooks import run_hook
from gym_queue.env.judge import judge, reward
from gym_queue.env.source import EnvSource
from gym_queue.env.view import describe, timed
from gym_queue.errors import EnvState, GymQueueError, NotSupported
from gym_queue.protocol.actions import Action, check_on_screen, parse_actions
from gym_queue.protocol.sessions import EpisodeLimits, ResetRequest, SessionInfo, StepRequest
from gym_queue.runners.base import Runner, RunnerSetup
from gym_queue.runners.registry import open_runner
from gym_queue.verifiers import VerifierLimits, check_supported

logger = logging.getLogger(__name__)

HOOK_TIMEOUT_S = 600.0
"""Limit of each command of an env's hooks; the format gives only pre_task one of its own."""
SETTLE_MAX_S = 2.0
BASELINE_SETTLE_MAX_S = 10.0


class EpisodeState(Enum):
    """Where an environment is in its life."""

    NEW = "new"  # opened, no sandbox yet
    RUNNING = "running"  # reset: takes steps
    DONE = "done"  # judged: takes a reset or close
    CLOSED = "closed"  # nothing left


@dataclass(frozen=True, slots=True)
class EpisodeSetup:
    """What an Episode is made of."""

    env_id: str
    source: EnvSource
    work_dir: Path
    """The environment's own folder: the sandbox's files and the episodes' folders."""
    verifier_env: dict[str, str] = field(default_factory=dict)
    verifier_limits: VerifierLimits = field(default_factory=VerifierLimits)
    reset_policy: str = "core"
    lazy_frames: bool = False
    """Write frames as files only when ``flush`` is called, or a verifier is to see them."""
    open_runner: Callable[[str, RunnerSetup], Runner] = open_runner
    clock: Callable[[], float] = time.monotonic


class Episode:
    """An environment, driven by one caller at a time; only ``close`` may come from another thread."""

    def __init__(self, setup: EpisodeSetup) -> None:
        self._setup = setup
        self._task = setup.source.task
        self._state = EpisodeState.NEW
        self._runner: Runner | None = None
        self._folder: EpisodeFolder | None = None
        self._count = 0
        self._steps = 0
        self._started = 0.0
        self._closed = threading.Event()
        self._moving = threading.Lock()
        self._limits = _limits_of(setup.source)
        self._check_supported()

    @property
    def state(self) -> EpisodeState:
        """Where the environment is in its life."""
        return self._state

    @property
    def inline(self) -> bool:
        """Whether JSON observations carry the screen itself."""
        screen = self._setup.source.spec.screen
        return bool(screen and screen.inline)

    @property
    def episode_dir(self) -> Path | None:
        """The running or last episode's folder; None before the first reset."""
        return self._folder.path if self._folder else None

    def flush(self) -> None:
        """Make files of every frame, for somebody who reads the episode's folder."""
        if self._folder is not None:
            self._folder.flush()

    def reset(self, request: ResetRequest) -> dict[str, Any]:
        """Start a fresh sandbox and bring it to where the task begins.

        Returns:
            ``observation``, ``_timings`` (seconds by phase) and ``_post_reset_policy``.

        Raises:
            HookFailed: A hook failed; there is no episode.
            RunnerFailed: The sandbox did not start.
            NotSupported: Checkpoints were asked for.
        """
        self._forbid(EpisodeState.CLOSED)
        if request.use_cache or request.use_savevm:
            raise NotSupported(
                "checkpoints (use_cache, use_savevm) are not in this version: reset without them"
            )
        policy = request.post_reset_policy or self._setup.reset_policy
        timings: dict[str, float] = {}
        self._end_sandbox()
        try:
            with timed(timings, "start"):
                runner = self._start(request.seed)
            with timed(timings, "hooks"):
                self._run_hooks(runner)
            with timed(timings, "settle"):
                runner.settle(max_s=BASELINE_SETTLE_MAX_S if policy == "baseline_setup" else SETTLE_MAX_S)
            self._begin(request)
            observation = self._observe()
            self._enter(EpisodeState.RUNNING)
        except BaseException:
            self._end_sandbox()
            raise
        return {"observation": observation, "_timings": timings, "_post_reset_policy": policy}

    def step(self, request: StepRequest) -> dict[str, Any]:
        """Inject actions, settle, observe, and end the episode when it is time.

        Returns:
            ``observation``, ``reward``, ``done``, ``info``.

        Raises:
            EnvState: There is no running episode.
            ActionInvalid: An action is not valid; none of the step's was injected.
            VerifierFailed: The episode ended and could not be judged.
        """
        actions = parse_actions(request.actions)
        check_on_screen(actions, self._setup.source.spec.resolution)
        if self._state is not EpisodeState.RUNNING:
            raise EnvState(
                f"a step needs a running episode and this one is {self._state.value}: call reset first"
            )
        runner, folder = self._sandbox()
        for action in actions:
            runner.check(action)
        info: dict[str, Any] = {"step": self._steps}
        if actions:
            info["action_result"] = self._inject(runner, actions, request.wait_between_actions)
            if request.settle_after_actions:
                runner.settle(max_s=SETTLE_MAX_S)
        extra = {"metadata": request.trajectory_metadata} if request.trajectory_metadata else {}
        folder.log("step", idx=self._steps, action=request.actions, **extra)
        self._steps += 1
        observation = self._observe() if request.capture_observation else {}
        earned, reason = 0.0, self._end_reason(mark_done=request.mark_done)
        if reason is not None:
            info["reason"] = reason
            earned = self._finish(runner, folder, info)
        return {"observation": observation, "reward": earned, "done": reason is not None, "info": info}

    def capture_observation(self) -> dict[str, Any]:
        """Return a fresh observation without a step; no frame of it is kept."""
        runner, folder = self._sandbox()
        seen = runner.observe()
        path = folder.save("observation.png", seen.png) if seen.png is not None else None
        return describe(seen, path)

    def trajectory_event(self, event: dict[str, Any]) -> None:
        """Append a caller's event to the trajectory."""
        _, folder = self._sandbox()
        folder.log_event({"ts": time.time(), **event})

    def set_limits(self, limits: EpisodeLimits) -> EpisodeLimits:
        """Change the episode's limits; None leaves one as it is. Returns those that hold now."""
        given = {key: value for key, value in limits.model_dump().items() if value is not None}
        self._limits = self._limits.model_copy(update=given)
        return self._limits

    def copy_to_env(self, source: Path, target: str) -> None:
        """Copy a file of this host into the sandbox."""
        self._sandbox()[0].copy_to(source, target)

    def copy_from_env(self, source: str, target: Path) -> None:
        """Copy a file of the sandbox to this host."""
        self._sandbox()[0].copy_from(source, target)

    def session_info(self) -> SessionInfo | None:
        """Return what runs behind the environment; None before the first reset."""
        if self._runner is None:
            return None
        info, spec = self._runner.info(), self._setup.source.spec
        screen = spec.screen
        return SessionInfo(
            env_id=self._setup.env_id,
            task_id=self._task.id if self._task else None,
            runner_name=info.runner_name,
            platform_family=info.platform_family,
            artifacts_dir=str(self.episode_dir) if self.episode_dir else None,
            resolution=spec.resolution,
            fps=screen.fps if screen else None,
            network_enabled=spec.resources.net,
            systemd_enabled=spec.security.use_systemd,
            container_name=info.container_name,
            instance_name=info.instance_name,
            vnc_port=info.vnc_port,
            vnc_password=info.vnc_password,
            ssh_port=info.ssh_port,
            ssh_user=info.ssh_user,
            ssh_password=info.ssh_password,
        )

    def close(self) -> None:
        """End the sandbox. Safe to call twice, and while another thread is inside a call."""
        with self._moving:
            self._state = EpisodeState.CLOSED
        self._closed.set()
        self._end_sandbox()

    def _check_supported(self) -> None:
        if self._task is None:
            return
        check_supported(self._task.success.mode if self._task.success else None)
        if self._task.init.reward_type == "dense":
            raise NotSupported(
                f"the task {self._task.id} asks for dense rewards, which are not in this version"
            )
        if self._task.init.init_pyautogui:
            raise NotSupported(
                f"the task {self._task.id} has init_pyautogui, which is not in this version: use init_script"
            )

    def _forbid(self, state: EpisodeState) -> None:
        if self._state is state:
            raise EnvState(f"the environment {self._setup.env_id} is {state.value}: create a new one")

    def _sandbox(self) -> tuple[Runner, EpisodeFolder]:
        self._forbid(EpisodeState.CLOSED)
        if self._runner is None or self._folder is None:
            raise EnvState(f"the environment {self._setup.env_id} has no episode yet: call reset first")
        return self._runner, self._folder

    def _start(self, seed: int | None) -> Runner:
        source = self._setup.source
        variables = {"GYM_TASK_ID": self._task.id} if self._task else {}
        if seed is not None:
            variables["GYM_SEED"] = str(seed)
        sandbox = self._setup.work_dir / "sandbox"
        sandbox.mkdir(parents=True, exist_ok=True)
        runner = self._setup.open_runner(
            source.runner,
            RunnerSetup(self._setup.env_id, source.spec, source.env_dir, sandbox, seed, variables),
        )
        self._runner = runner
        self._forbid(EpisodeState.CLOSED)  # a close that came meanwhile found no runner to end
        runner.start()
        return runner

    def _run_hooks(self, runner: Runner) -> None:
        spec, task = self._setup.source.spec, self._task
        run_hook(runner, "pre_start", spec.hooks.pre_start, timeout_s=HOOK_TIMEOUT_S)
        run_hook(runner, "post_start", spec.hooks.post_start, timeout_s=HOOK_TIMEOUT_S)
        if spec.reset_script:
            run_hook(runner, "reset_script", (spec.reset_script,), timeout_s=HOOK_TIMEOUT_S)
        else:
            run_hook(runner, "reset", spec.hooks.reset, timeout_s=HOOK_TIMEOUT_S)
        if task is None:
            return
        run_hook(runner, "pre_task", task.hooks.pre_task, timeout_s=task.hooks.pre_task_timeout)
        if task.init.init_script:
            run_hook(runner, "init_script", (task.init.init_script,), timeout_s=HOOK_TIMEOUT_S)

    def _begin(self, request: ResetRequest) -> None:
        self._folder = EpisodeFolder(self._next_path(), lazy_frames=self._setup.lazy_frames)
        self._folder.log("reset", seed=request.seed)
        session = self.session_info()
        shown = session.model_dump(exclude={"vnc_password", "ssh_password"}) if session else None
        self._folder.log("session", session=shown)
        self._steps = 0
        self._started = self._setup.clock()

    def _next_path(self) -> Path:
        """Return a folder that no episode has used, of an earlier environment in this work_dir neither."""
        while True:
            self._count += 1
            path = self._setup.work_dir / "episodes" / f"episode_{self._count:03d}"
            if not path.exists():
                return path

    def _enter(self, state: EpisodeState) -> None:
        with self._moving:
            self._forbid(EpisodeState.CLOSED)
            self._state = state

    def _inject(self, runner: Runner, actions: Sequence[Action], wait_s: float) -> dict[str, Any]:
        for index, action in enumerate(actions):
            if index:
                self._pause(wait_s)
            if action.has_input:
                runner.act(action)
            if action.action == "wait":
                self._pause(action.wait_s)
        return {"action": actions[-1].action or "other", "output": None}

    def _pause(self, duration_s: float) -> None:
        if self._closed.wait(duration_s):
            self._forbid(EpisodeState.CLOSED)

    def _observe(self) -> dict[str, Any]:
        runner, folder = self._sandbox()
        seen = runner.observe()
        path = folder.save_frame(self._steps, seen.png) if seen.png is not None else None
        return describe(seen, path)

    def _end_reason(self, *, mark_done: bool) -> str | None:
        if mark_done:
            return "Agent Completed"
        if self._limits.max_steps is not None and self._steps >= self._limits.max_steps:
            return "max_steps"
        elapsed_s = self._setup.clock() - self._started
        if self._limits.timeout_sec is not None and elapsed_s >= self._limits.timeout_sec:
            return "timeout"
        return None

    def _finish(self, runner: Runner, folder: EpisodeFolder, info: dict[str, Any]) -> float:
        self._enter(EpisodeState.DONE)
        try:
            verdict = judge(
                env_id=self._setup.env_id,
                source=self._setup.source,
                runner=runner,
                folder=folder,
                variables=self._setup.verifier_env,
                limits=self._setup.verifier_limits,
            )
        except GymQueueError as error:
            self._conclude(folder, reason=info["reason"], error=error.to_wire())
            raise
        earned = reward(self._task, verdict)
        info["verifier"] = verdict.to_info() if verdict else None
        self._conclude(folder, reason=info["reason"], reward=earned, verifier=info["verifier"])
        return earned

    def _conclude(self, folder: EpisodeFolder, **outcome: Any) -> None:
        """Write how the episode ended; a failed judging has an error in place of a reward."""
        folder.log("finalize", **outcome)
        folder.write_summary(
            {
                "env_id": self._setup.env_id,
                "task_id": self._task.id if self._task else None,
                "steps": self._steps,
                "duration_s": self._setup.clock() - self._started,
                **outcome,
            }
        )

    def _end_sandbox(self) -> None:
        runner, folder = self._runner, self._folder
        with self._moving:
            if self._state is not EpisodeState.CLOSED:
                self._state, self._runner = EpisodeState.NEW, None
        if folder is not None:
            folder.close()
        if runner is not None:
            runner.close()
            shutil.rmtree(self._setup.work_dir / "sandbox", ignore_errors=True)


def _limits_of(source: EnvSource) -> EpisodeLimits:
    if source.task is None:
        return EpisodeLimits()
    init = source.task.init  # checked as a spec, whose numbers may be larger than those of a call
    return EpisodeLimits.model_construct(max_steps=init.max_steps, timeout_sec=init.timeout_sec)
