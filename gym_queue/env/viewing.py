"""Whether people may watch an environment, and where."""

from __future__ import annotations

from pathlib import Path

from gym_queue.errors import Forbidden, NotSupported
from gym_queue.runners.base import Runner, RunnerInfo, Views
from gym_queue.specs.env import EnvSpec


def open_view(spec: EnvSpec, runner: Runner, *, control: bool) -> Path:
    """Serve an environment's screen to viewers; return the socket, as ``Views.open_view`` does.

    Raises:
        NotSupported: Its spec does not ask for a viewer, or its runner has none.
        Forbidden: Its viewers may only look.
        RunnerFailed: The server did not come up.
    """
    if not _is_asked(spec):
        raise NotSupported(f"the environment {spec.id} has no viewer: set vnc.enable to true in its spec")
    if control and spec.vnc.get("view_only") is not False:
        raise Forbidden(
            f"viewers of {spec.id} may only look: set vnc.view_only to false in its spec to let them act"
        )
    if not isinstance(runner, Views):
        name = runner.info().runner_name
        raise NotSupported(
            f"{name} shows its screen to nobody: use docker, or local with display_backend x11"
        )
    return runner.open_view(control=control)


def viewer_url(env_id: str, spec: EnvSpec, info: RunnerInfo) -> str | None:
    """Return where viewers connect, below the URL of the master or of the worker; None when they cannot."""
    return f"/envs/{env_id}/vnc" if info.is_viewable and _is_asked(spec) else None


def _is_asked(spec: EnvSpec) -> bool:
    return spec.vnc.get("enable") is True
