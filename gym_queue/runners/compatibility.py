"""What each runner can do, read off its classes: the powers they have as methods, and their ``TRAITS``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from pydantic import BaseModel, ConfigDict

from gym_queue.errors import RequestInvalid, RunnerUnavailable
from gym_queue.names import RUNNERS
from gym_queue.runners.base import Checkpoints, Records, Traits, Views
from gym_queue.runners.registry import implemented_runners, runner_kinds
from gym_queue.specs.env import CacheLevel


class Compatibility(BaseModel):
    """One kind of runner. Where Gym-Anything's matrix has the same fact, it bears its name."""

    model_config = ConfigDict(frozen=True)

    runner: str
    """As specs write it."""
    display_name: str
    """As session_info writes it."""
    kind: str = ""
    """The class; a runner may have several, by what the spec asks for."""
    implemented: bool = True
    """Whether this version has it; nothing below says anything otherwise."""
    observations: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    os_types: tuple[str, ...] = ()
    live_recording: bool = False
    """Filmed into recording.mp4 while it runs."""
    checkpoint_caching: bool = False
    """Resets may start from kept files."""
    checkpoint_levels: tuple[str, ...] = ()
    """What they may hold already."""
    savevm: bool = False
    """And from a machine that runs."""
    vnc: bool = False
    """People may watch, and act, by VNC."""
    user_accounts_mode: str = "unsupported"
    """provision_from_spec: made inside; unsupported: ignored."""
    network: str = ""
    """switched by resources.net, or the host's."""
    resources: str = ""
    """limited to resources.cpu and mem_gb, or not."""
    gpu: str = ""
    """given by resources.gpu, or the host's."""
    note: str = ""


def compatibility(runners: Sequence[str] | None = None) -> list[Compatibility]:
    """Return what runners can do, those of this version first.

    Args:
        runners: Names; None is every runner but fake.

    Raises:
        RequestInvalid: There is no runner of that name.
    """
    asked = [name for name in RUNNERS if name != "fake"] if runners is None else list(runners)
    for name in asked:
        if name not in RUNNERS:
            raise RequestInvalid(f"there is no runner {name!r}; known are {', '.join(RUNNERS)}")
    found = [each for name in asked for each in _of_runner(name)]
    return sorted(found, key=lambda each: not each.implemented)


def _of_runner(name: str) -> list[Compatibility]:
    if name not in implemented_runners():
        note = "not in this version"
        return [Compatibility(runner=name, display_name=RUNNERS[name], implemented=False, note=note)]
    try:
        return [_of_kind(name, kind) for kind in runner_kinds(name)]
    except RunnerUnavailable as error:
        return [Compatibility(runner=name, display_name=RUNNERS[name], implemented=False, note=str(error))]


def _of_kind(name: str, kind: type) -> Compatibility:
    traits: Traits = kind.TRAITS  # type: ignore[attr-defined]  # every class of the registry has them
    return Compatibility(
        runner=name,
        display_name=RUNNERS[name],
        kind=kind.__name__,
        observations=traits.observations,
        actions=traits.actions,
        os_types=traits.os_types,
        live_recording=issubclass(kind, Records),
        checkpoint_caching=issubclass(kind, Checkpoints),
        checkpoint_levels=get_args(CacheLevel) if issubclass(kind, Checkpoints) else (),
        savevm=traits.keeps_machines,
        vnc=issubclass(kind, Views),
        user_accounts_mode="provision_from_spec" if traits.makes_accounts else "unsupported",
        network="switched" if traits.switches_network else "host",
        resources="limited" if traits.limits_resources else "unlimited",
        gpu="given" if traits.gives_gpus else "host",
    )
