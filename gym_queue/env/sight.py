"""What there is to see of an environment, for those who only look."""

from __future__ import annotations

from dataclasses import dataclass

from gym_queue.env.folder import EpisodeFolder
from gym_queue.env.setup import EpisodeState
from gym_queue.runners.base import Observation, Runner


@dataclass(frozen=True, slots=True)
class Seen:
    """An observation that an agent was given."""

    observation: Observation
    at: float
    """When it was made, in unix seconds."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What an episode has to show, at one moment."""

    state: EpisodeState
    runner: Runner | None
    """The sandbox, which may still be starting, or end at any moment."""
    folder: EpisodeFolder | None
    """Of the running or last episode."""
    seen: Seen | None
    """What was seen last, of an earlier episode's sandbox perhaps."""
