"""The agent's own code, called with care: whatever it raises or answers is its own failure, and no one else's."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite

from gym_queue.benchmark.agents.base import Agent, AgentTurn
from gym_queue.errors import ActionInvalid, AgentFailed, GymQueueError

logger = logging.getLogger(__name__)

SHOWN_CHARS = 200
"""Of what an agent answered, in the sentence about it."""

OnTurn = Callable[[str | None], None]
"""Told which code of the agent begins to run, and None when it has returned."""


@contextmanager
def agents_own(where: str, on_turn: OnTurn) -> Iterator[None]:
    """Run code of the agent in a block.

    Raises:
        AgentFailed: It raised anything that is no error of this package, an exit of the program included.
    """
    on_turn(where)
    try:
        yield
    except GymQueueError:
        raise
    except BaseException as error:
        logger.exception("the agent raised in its %s", where)
        raise AgentFailed(f"the agent raised {type(error).__name__} in its {where}: {error}") from error
    finally:
        on_turn(None)


def check_turn(turn: object, where: str) -> AgentTurn:
    """Return what an agent answered, if it is a turn.

    Raises:
        AgentFailed: It is none.
    """
    wrong = _wrong_part(turn)
    if wrong is not None or not isinstance(turn, AgentTurn):
        raise AgentFailed(f"the agent answered no turn in its {where}: {wrong}")
    return turn


def _wrong_part(turn: object) -> str | None:
    if not isinstance(turn, AgentTurn):
        return f"{_shown(turn)} is no AgentTurn"
    if not isinstance(turn.actions, Sequence) or isinstance(turn.actions, str | bytes):
        return f"its actions are {_shown(turn.actions)}, no list of actions"
    other = [each for each in turn.actions if not isinstance(each, Mapping)]
    if other:
        return f"its actions hold {_shown(other[0])}, which is no dict"
    if not isinstance(turn.done, bool) or not isinstance(turn.note, str):
        return f"done is {_shown(turn.done)} and note {_shown(turn.note)}: True or False, and a text belong there"
    return None


def check_actions(turn: AgentTurn) -> None:
    """See that a turn's actions are JSON's, which is how they go to their environment.

    Raises:
        ActionInvalid: They hold something else: not a number, a point of no list.
    """
    try:
        json.dumps(turn.actions, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise ActionInvalid(f"the actions cannot be written as JSON: {error}") from None


def _plain(value: object) -> object:
    to_list: Callable[[], object] | None = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError(f"a {type(value).__name__} has no place in it")
    return to_list()


def wait_of(agent: Agent) -> float:
    """Return the seconds that an agent wants between two actions.

    Raises:
        AgentFailed: It is no number of seconds.
    """
    wait_s: object = getattr(agent, "wait_between_actions_s", 0.0)
    if isinstance(wait_s, bool) or not isinstance(wait_s, int | float) or not 0 <= wait_s < float("inf"):
        raise AgentFailed(f"the agent's wait_between_actions_s is {_shown(wait_s)}: give seconds, 0 or more")
    return float(wait_s)


def usage_of(agent: Agent) -> dict[str, float]:
    """Return what an agent that counts says it used."""
    said = getattr(agent, "usage", None)
    if not isinstance(said, Mapping):
        return {}
    return {
        str(name): number
        for name, number in said.items()
        if isinstance(number, int | float) and isfinite(number)
    }


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}.."
