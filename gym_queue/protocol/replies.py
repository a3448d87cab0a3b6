"""What environments' calls are answered with, as the schema shows it; the replies themselves are plain dicts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from gym_queue.protocol.sessions import Message, SessionInfo


class ErrorBody(Message):
    """Every 4xx and 5xx: one sentence, and a code that programs tell errors by."""

    model_config = ConfigDict(frozen=True, extra="allow")

    error: str = Field(min_length=1)
    """What, where, and the remedy."""
    code: str
    request_id: str | None = None


class Screen(Message):
    """The ``screen`` of an observation."""

    model_config = ConfigDict(frozen=True, extra="allow")

    path: str | None = None
    resolution: tuple[int, int] | None = None
    """width, height in pixels."""
    remote: bool = False
    png_b64: str | None = None
    """With a spec whose observation is inline."""


class ObservationView(Message):
    """What an environment shows, by modality."""

    model_config = ConfigDict(frozen=True, extra="allow")

    screen: Screen | None = None
    audio: dict[str, Any] | None = None
    """rate, channels, num_samples, s16le_b64."""
    ui_tree: dict[str, Any] | None = None
    """text."""
    cli_stdout: dict[str, Any] | None = None
    """text."""


Level = Literal["pre_start", "post_start", "post_task"]


class CheckpointUse(Message):
    """What a reset with use_cache or use_savevm found and kept."""

    loaded: Level | None
    """The level it started from."""
    saved: list[Level]
    """The levels it kept, for the next."""
    machine: bool = False
    """Whether they hold machines that run, not files alone."""


class ResetReply(Message):
    """Of reset."""

    observation: ObservationView
    timings: dict[str, float] = Field(alias="_timings")
    """Seconds by phase."""
    request_id: str = Field(alias="_request_id")
    post_reset_policy: str = Field(alias="_post_reset_policy")
    checkpoint: CheckpointUse | None = Field(None, alias="_checkpoint")
    """When the reset uses checkpoints."""


class ActionResult(Message):
    """Of a step's last action."""

    model_config = ConfigDict(frozen=True, extra="allow")

    action: Literal["screenshot", "wait", "other"]


class StepInfo(Message):
    """The ``info`` of a step."""

    model_config = ConfigDict(frozen=True, extra="allow")

    step: int = Field(ge=0)
    action_result: ActionResult | None = None
    """When there were actions."""
    reason: str | None = None
    """When done."""
    verifier: dict[str, Any] | None = None
    """mode, passed, score 0-100, feedback: when done, and the task has a verifier."""


class StepReply(Message):
    """Of step."""

    observation: ObservationView
    reward: float
    done: bool
    info: StepInfo


class CaptureReply(Message):
    """Of capture_observation."""

    observation: ObservationView


class ClosedReply(Message):
    """Of close."""

    status: Literal["closed"]


class PausedReply(Message):
    """Of pause_recording."""

    status: Literal["paused"]


class ResumedReply(Message):
    """Of resume_recording."""

    status: Literal["resumed"]


class LoggedReply(Message):
    """Of trajectory_event."""

    status: Literal["logged"]


class CopiedReply(Message):
    """Of copy_to_env and copy_from_env."""

    status: Literal["copied"]


class UploadedReply(Message):
    """Of files, by PUT."""

    status: Literal["copied"]
    size_bytes: int


class KeepaliveReply(Message):
    """Of keepalive."""

    status: Literal["renewed"]
    lease_s: float | None
    """Null without a lease."""


class EpisodeDirReply(Message):
    """Of episode_dir."""

    episode_dir: str | None
    """Null before the first reset."""


class SessionReply(Message):
    """Of session_info."""

    session: SessionInfo | None
    """Null before the first reset."""


class LimitsReply(Message):
    """Of episode_limits: what holds now."""

    status: Literal["updated"]
    max_steps: int | None
    timeout_sec: float | None


class SnapshotReply(Message):
    """Of save_state."""

    snapshot_path: str


class TicketReply(Message):
    """Of vnc_ticket."""

    ticket: str
    """Opens one viewer, once."""
    expires_s: float


class LoadedReply(Message):
    """Of load_state."""

    status: Literal["loaded"]


class StatusReply(Message):
    """Of calls that have nothing else to say."""

    status: str


class EnvView(Message):
    """Where an environment is in its life."""

    model_config = ConfigDict(frozen=True, extra="allow")

    env_id: str
    state: Literal["queued", "creating", "ready", "resetting", "running", "done", "closing", "closed", "lost"]
    worker_id: str | None = None
    worker_url: str | None = None
    age_s: float | None = None
    position: int | None = None
    """In the queue, from 0."""
    reason: str | None = None
    """Of one that has ended."""
