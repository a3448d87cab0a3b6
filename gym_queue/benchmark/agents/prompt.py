"""What models are told in words, whatever their API."""

from __future__ import annotations

from gym_queue.benchmark.agents.base import AgentTask

CUT_OFF = "Your answer was too long and was cut off, and nothing was done. Answer more briefly."
GO_ON = "Go on."
MAX_TEXT = 20_000
"""Characters of a terminal or tree of windows that are shown: the last ones."""


def system_prompt(task: AgentTask, added: str) -> str:
    """Return what a model is told before its task.

    Args:
        task: What it is to do.
        added: By whoever runs it.
    """
    what = task.env.description.strip() or f"The environment is {task.env.id}."
    parts = (
        f"You use a computer on your own to carry out a task. {what}",
        "Nobody answers questions: decide for yourself. After each of your turns you are shown the screen. "
        "When the task is done, or cannot be done, say so in a sentence and use no tool.",
        added.strip(),
    )
    return "\n\n".join(part for part in parts if part)


def first_words(task: AgentTask) -> str:
    """Return the task as a model is told."""
    return f"Your task:\n\n{task.description}"


def seen_text(text: str) -> str:
    """Return a terminal's or windows' text as a model is told."""
    return f"The screen's text:\n{text[-MAX_TEXT:]}"
