"""How an episode shows itself: observations by modality, timings by phase."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gym_queue.env.recording import EpisodeRecording
from gym_queue.env.source import EnvSource
from gym_queue.env.viewing import viewer_url
from gym_queue.protocol.sessions import SessionInfo
from gym_queue.runners.base import Audio, Observation, RunnerInfo


def describe(seen: Observation, path: Path | str | None) -> dict[str, Any]:
    """Return an observation by modality; ``screen.png`` holds the image's bytes.

    Args:
        seen: What the runner saw.
        path: Where the frame was kept.
    """
    found: dict[str, Any] = {}
    if seen.png is not None:
        found["screen"] = {"path": str(path), "resolution": list(seen.resolution), "png": seen.png}
    if seen.cli_stdout is not None:
        found["cli_stdout"] = {"text": seen.cli_stdout}
    if seen.ui_tree is not None:
        found["ui_tree"] = {"text": seen.ui_tree}
    if seen.audio is not None:
        found["audio"] = _describe_audio(seen.audio)
    return found


def describe_session(
    env_id: str,
    source: EnvSource,
    info: RunnerInfo,
    episode_dir: Path | None,
    *,
    recording: EpisodeRecording,
) -> SessionInfo:
    """Return what runs behind an environment.

    Args:
        env_id: The environment.
        source: What it was made from.
        info: What its runner says.
        episode_dir: The running episode's folder.
        recording: Its video.
    """
    spec, screen = source.spec, source.spec.screen
    url = viewer_url(env_id, spec, info)
    return SessionInfo(
        env_id=env_id,
        task_id=source.task.id if source.task else None,
        runner_name=info.runner_name,
        platform_family=info.platform_family,
        artifacts_dir=str(episode_dir) if episode_dir else None,
        resolution=spec.resolution,
        fps=screen.fps if screen else None,
        network_enabled=spec.resources.net,
        systemd_enabled=spec.security.use_systemd,
        container_name=info.container_name,
        instance_name=info.instance_name,
        vnc_port=info.vnc_port,
        vnc_url=url,
        vnc_password=spec.vnc_password if url else info.vnc_password,
        ssh_port=info.ssh_port,
        ssh_user=info.ssh_user,
        ssh_password=info.ssh_password,
        recording=recording.file,
        notes=(*info.notes, *filter(None, (recording.note,))),
    )


def _describe_audio(heard: Audio) -> dict[str, Any]:
    return {
        "rate": heard.rate,
        "channels": heard.channels,
        "num_samples": len(heard.pcm) // (2 * heard.channels),
        "s16le_b64": base64.b64encode(heard.pcm).decode("ascii"),
    }


@contextmanager
def timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Write how long the block took, in seconds, under ``name``."""
    start = time.perf_counter()
    try:
        yield
    finally:
        timings[name] = round(time.perf_counter() - start, 4)
