"""One environment's episodes: reset, step, done, close, as a state machine."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gym_queue.env.folder import EpisodeFolder
from gym_queue.env.judge import Judge, reward
from gym_queue.env.prepare import Preparation, SandboxSetup
from gym_queue.env.recording import EpisodeRecording
from gym_queue.env.savedstate import read_state, state_record, write_state
from gym_queue.env.setup import EpisodeSetup as EpisodeSetup
from gym_queue.env.setup import EpisodeState as EpisodeState
from gym_queue.env.sight import Seen, Sight
from gym_queue.env.source import episode_limits
from gym_queue.env.view import describe, describe_session, timed
from gym_queue.env.viewing import open_view
from gym_queue.errors import EnvState, GymQueueError
from gym_queue.protocol.actions import Action, check_on_screen, parse_actions
from gym_queue.protocol.sessions import EpisodeLimits, ResetRequest, SessionInfo, StepRequest
from gym_queue.runners.base import MachineCheckpoints, Observation, Runner

logger = logging.getLogger(__name__)

BASELINE_SETTLE_MAX_S = 10.0


class Episode:
    """An environment, driven by one caller at a time; only ``close`` may come from another thread."""

    def __init__(self, setup: EpisodeSetup) -> None:
        self._setup = setup
        self._task = setup.source.task
        self._state = EpisodeState.NEW
        self._runner: Runner | None = None
        self._folder: EpisodeFolder | None = None
        self._seen: Seen | None = None
        self._count = 0
        self._steps = 0
        self._seed: int | None = None
        self._started = 0.0
        self._closed = threading.Event()
        self._moving = threading.Lock()
        self._limits = episode_limits(setup.source)
        self._preparation = Preparation(
            SandboxSetup(
                setup.env_id,
                setup.source,
                setup.work_dir / "sandbox",
                setup.bounds.copy_bytes,
                setup.bounds.settle_s,
                setup.open_runner,
                setup.checkpoints,
                setup.vm,
            )
        )
        self._recording = EpisodeRecording(setup.source.spec)
        self._judge = Judge(setup.env_id, setup.source, setup.verifier_env, setup.verifier_limits)

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

    def sight(self) -> Sight:
        """Return what there is to see; may come from another thread at any time."""
        return Sight(self._state, self._runner, self._folder, self._seen)

    def flush(self) -> None:
        """Make files of every frame, for somebody who reads the episode's folder."""
        if self._folder is not None:
            self._folder.flush()

    def reset(self, request: ResetRequest) -> dict[str, Any]:
        """Start a fresh sandbox and bring it to where the task begins.

        Returns:
            ``observation``, ``_timings`` (seconds by phase), ``_post_reset_policy`` and, when the reset uses
            checkpoints, ``_checkpoint`` (see Prepared.describe).

        Raises:
            HookFailed: A hook failed; there is no episode.
            RunnerFailed: The sandbox did not start.
            NotSupported: Checkpoints were asked for, or a running machine, and the runner keeps none.
        """
        self._forbid(EpisodeState.CLOSED)
        policy = request.post_reset_policy or self._setup.reset_policy
        plan = self._preparation.plan(request)
        self._end_sandbox()
        try:
            prepared = self._preparation.run(request, plan, self._adopt)
            with timed(prepared.timings, "settle"):
                longest_s = self._setup.bounds.settle_max_s
                prepared.runner.settle(
                    max_s=BASELINE_SETTLE_MAX_S if policy == "baseline_setup" else longest_s
                )
            self._begin(request)
            observation = self._observe()
            self._judge.begin(*self._sandbox())
            self._enter(EpisodeState.RUNNING)
        except BaseException:
            self._end_sandbox()
            raise
        reply = {"observation": observation, "_timings": prepared.timings, "_post_reset_policy": policy}
        if plan.keys:
            reply["_checkpoint"] = prepared.describe(plan)
        return reply

    def step(self, request: StepRequest) -> dict[str, Any]:
        """Inject actions, settle, observe, and end the episode when it is time.

        Returns:
            ``observation``, ``reward``, ``done``, ``info``.

        Raises:
            EnvState: There is no running episode.
            ActionInvalid: An action is not valid; none of the step's was injected.
            VerifierFailed: The step, or the episode as it ended, could not be judged.
        """
        actions = parse_actions(request.actions)
        self._setup.bounds.check(actions, request.wait_between_actions)
        check_on_screen(actions, self._setup.source.spec.resolution)
        self._need_running("a step")
        runner, folder = self._sandbox()
        for action in actions:
            runner.check(action)
        info: dict[str, Any] = {"step": self._steps}
        if actions:
            info["action_result"] = self._inject(runner, actions, request.wait_between_actions)
            if request.settle_after_actions:
                self._settle(runner)
        extra = {"metadata": request.trajectory_metadata} if request.trajectory_metadata else {}
        event = folder.log("step", idx=self._steps, action=request.actions, **extra)
        self._steps += 1
        observation = self._observe() if request.capture_observation else {}
        earned = self._step_reward(folder, event, observation)
        reason = self._end_reason(mark_done=request.mark_done)
        if reason is not None:
            info["reason"] = reason
            earned = self._finish(runner, folder, info, earned)
        return {"observation": observation, "reward": earned, "done": reason is not None, "info": info}

    def capture_observation(self) -> dict[str, Any]:
        """Return a fresh observation without a step; no frame of it is kept."""
        runner, folder = self._sandbox()
        seen = self._see(runner)
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

    def save_state(self, path: Path | None = None) -> Path:
        """Keep the sandbox's state, and write a file that names it; the episode goes on.

        Args:
            path: The file; None is one in the episode's folder.

        Raises:
            NotSupported: The runner keeps no state.
            RunnerFailed: It could not be kept.
        """
        runner, folder = self._sandbox()
        record = state_record(self._setup.source, machine=isinstance(runner, MachineCheckpoints))
        self._setup.checkpoints.save(runner, record)
        folder.log("save_state")
        return write_state(path or folder.path / f"state_{self._steps:05d}.json", record)

    def load_state(self, path: Path) -> None:
        """Start a sandbox from a state that was saved, in place of this one; the episode goes on.

        Raises:
            PathNotFound: There is no such file, or what it names was removed.
            RequestInvalid: It is no such file, or of another runner or environment.
        """
        runner, folder = self._sandbox()
        setup, state = self._setup, self._state
        record = read_state(path, setup.source, setup.checkpoints)
        self._remove(runner)
        try:
            prepared = self._preparation.restore(record, self._seed, self._adopt)
            prepared.runner.settle(max_s=BASELINE_SETTLE_MAX_S)
            self._recording.move(prepared.runner)
            if state is EpisodeState.RUNNING:
                self._judge.begin(prepared.runner, folder)
            self._enter(state)
        except BaseException:
            self._end_sandbox()
            raise
        folder.log("load_state", key=record.key)

    def open_view(self, *, control: bool) -> Path:
        """Serve the screen to viewers; return the socket, and raise, as ``viewing.open_view`` does."""
        return open_view(self._setup.source.spec, self._sandbox()[0], control=control)

    def pause_recording(self) -> None:
        """Film nothing until resumed. Safe to call twice.

        Raises:
            EnvState: There is no running episode.
            NotSupported: The episode is not filmed.
        """
        self._need_running("a recording")
        self._recording.pause()

    def resume_recording(self) -> None:
        """Film on; raises as ``pause_recording``."""
        self._need_running("a recording")
        self._recording.resume()

    def session_info(self) -> SessionInfo | None:
        """Return what runs behind the environment; None before the first reset."""
        if self._runner is None:
            return None
        setup, info = self._setup, self._runner.info()
        return describe_session(setup.env_id, setup.source, info, self.episode_dir, recording=self._recording)

    def close(self) -> None:
        """End the sandbox. Safe to call twice, and while another thread is inside a call."""
        with self._moving:
            self._state = EpisodeState.CLOSED
        self._closed.set()
        self._end_sandbox()

    def _need_running(self, what: str) -> None:
        if self._state is not EpisodeState.RUNNING:
            raise EnvState(
                f"{what} needs a running episode and this one is {self._state.value}: call reset first"
            )

    def _forbid(self, state: EpisodeState) -> None:
        if self._state is state:
            raise EnvState(f"the environment {self._setup.env_id} is {state.value}: create a new one")

    def _sandbox(self) -> tuple[Runner, EpisodeFolder]:
        self._forbid(EpisodeState.CLOSED)
        if self._runner is None or self._folder is None:
            raise EnvState(f"the environment {self._setup.env_id} has no episode yet: call reset first")
        return self._runner, self._folder

    def _adopt(self, runner: Runner) -> None:
        self._runner = runner
        self._forbid(EpisodeState.CLOSED)  # a close that came meanwhile found no runner to end

    def _begin(self, request: ResetRequest) -> None:
        setup, previous = self._setup, self._folder
        self._folder = setup.make_folder(self._next_path())
        if previous is not None and setup.put_away is not None:
            setup.put_away(previous.path)
        self._recording.begin(self._sandbox()[0], self._folder.path)
        self._folder.log("reset", seed=request.seed, env=setup.source.name)
        session = self.session_info()
        shown = session.model_dump(exclude={"vnc_password", "ssh_password"}) if session else None
        self._folder.log("session", session=shown)
        self._steps, self._seed = 0, request.seed
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

    def _settle(self, runner: Runner) -> None:
        """Wait until the screen is still, and for the pause after actions that the spec itself names, if any."""
        spec, began = self._setup.source.spec, self._setup.clock()
        runner.settle(max_s=self._setup.bounds.settle_max_s)
        if spec.synchronous and "step_cycle_ms" in spec.model_fields_set:
            self._pause(max(0.0, spec.step_cycle_ms / 1000 - (self._setup.clock() - began)))

    def _pause(self, duration_s: float) -> None:
        if self._closed.wait(duration_s):
            self._forbid(EpisodeState.CLOSED)

    def _observe(self) -> dict[str, Any]:
        runner, folder = self._sandbox()
        seen = self._see(runner)
        path = folder.save_frame(self._steps, seen.png) if seen.png is not None else None
        return describe(seen, path)

    def _see(self, runner: Runner) -> Observation:
        self._seen = Seen(runner.observe(), time.time())
        return self._seen.observation

    def _end_reason(self, *, mark_done: bool) -> str | None:
        if mark_done:
            return "Agent Completed"
        if self._limits.max_steps is not None and self._steps >= self._limits.max_steps:
            return "max_steps"
        elapsed_s = self._setup.clock() - self._started
        if self._limits.timeout_sec is not None and elapsed_s >= self._limits.timeout_sec:
            return "timeout"
        return None

    def _step_reward(
        self, folder: EpisodeFolder, event: dict[str, Any], observation: dict[str, Any]
    ) -> float:
        """Return what the step earned; when that cannot be told, the episode ends without a reward."""
        try:
            return self._judge.step(folder, event, observation)
        except GymQueueError as error:
            self._enter(EpisodeState.DONE)
            self._conclude(folder, reason="reward_shaping failed", error=error.to_wire())
            raise

    def _finish(
        self, runner: Runner, folder: EpisodeFolder, info: dict[str, Any], step_reward: float
    ) -> float:
        self._enter(EpisodeState.DONE)
        self._recording.end()  # whole, for a verifier that looks at it
        try:
            verdict = self._judge.finish(runner, folder)
        except GymQueueError as error:
            self._conclude(folder, reason=info["reason"], error=error.to_wire())
            raise
        earned = reward(self._task, verdict, step=step_reward)
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
                "recording": self._recording.file,
                "recording_note": self._recording.note,
                **outcome,
            }
        )

    def _end_sandbox(self) -> None:
        runner, folder = self._runner, self._folder
        with self._moving:
            if self._state is not EpisodeState.CLOSED:
                self._state, self._runner = EpisodeState.NEW, None
        self._recording.end()
        self._judge.end()
        if folder is not None:
            folder.close()
        self._remove(runner)

    def _remove(self, runner: Runner | None) -> None:
        if runner is not None:
            runner.close()
            shutil.rmtree(self._setup.work_dir / "sandbox", ignore_errors=True)
