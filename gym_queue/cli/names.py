"""Arguments that name environments and tasks, which a shell completes."""

from __future__ import annotations

from typing import Annotated

import typer

from gym_queue.errors import GymQueueError

ENV_HELP = "Environment folder, or the name of one: see gym-anything list."


def complete_env(incomplete: str) -> list[str]:
    """Return the environments whose names begin so."""
    from gym_queue.specs.loader import corpus_environments, shipped_environments  # a Tab waits for it

    known = [*shipped_environments(), *(folder.name for folder in corpus_environments())]
    return [name for name in known if name.startswith(incomplete)]


def complete_task(context: typer.Context, incomplete: str) -> list[str]:
    """Return the tasks, of the environment that was named before, whose names begin so."""
    from gym_queue.specs.loader import list_tasks, resolve_env_dir

    env = context.params.get("env") or next(iter(context.args), None)  # an unfinished line is half parsed
    try:
        tasks = list_tasks(resolve_env_dir(env)) if env else []
    except (GymQueueError, OSError):
        return []
    return [name for name in tasks if name.startswith(incomplete)]


EnvName = Annotated[str, typer.Argument(help=ENV_HELP, autocompletion=complete_env)]
SomeEnvName = Annotated[
    str | None, typer.Argument(help=ENV_HELP, autocompletion=complete_env, show_default=False)
]
TaskName = Annotated[str | None, typer.Option(help="The task.", autocompletion=complete_task)]
