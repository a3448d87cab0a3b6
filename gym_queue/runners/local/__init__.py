"""The ``local`` runner: a terminal of its own, drawn by this package, with a shell of this machine in it."""

from gym_queue.runners.local.runner import LocalRunner

__all__ = ["LocalRunner"]
