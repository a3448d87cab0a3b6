"""Agents by name: those of this package, and those that other packages offer as entry points."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gym_queue.benchmark.agents.base import Agent, AgentOptions
from gym_queue.benchmark.agents.optiontypes import REQUIRED, default_of, schema_of, type_of
from gym_queue.errors import RequestInvalid

GROUP = "gym_queue.agents"
"""Entry points: the agent's name → its class."""

_BUILT_IN: Mapping[str, str] = {
    "ClaudeAgent": "gym_queue.benchmark.agents.claude:ClaudeAgent",
    "HumanAgent": "gym_queue.benchmark.agents.human:HumanAgent",
    "OpenAIAgent": "gym_queue.benchmark.agents.openai_agent:OpenAIAgent",
    "RandomAgent": "gym_queue.benchmark.agents.random:RandomAgent",
    "ScriptedAgent": "gym_queue.benchmark.agents.scripted:ScriptedAgent",
}
"""Agent name → module and class; they win over entry points of the same name."""


class OptionInfo(BaseModel):
    """One option of an agent, for people."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str
    """``text``, ``number``, ``yes/no``, ``secret``, ``one of a|b|c``, .."""
    default: str
    """``required`` when it must be given."""
    description: str


class AgentInfo(BaseModel):
    """An agent, for people and programs."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    """Its first sentence; or why it cannot be loaded."""
    needs: str = ""
    """What must be there besides this package, as its class says by ``needs``."""
    options: tuple[OptionInfo, ...] = ()
    """For people."""
    options_schema: dict[str, Any] = Field(default_factory=dict)
    """For programs: JSON schema."""


@dataclass(frozen=True, slots=True)
class AgentFactory:
    """An agent's class with options that were checked: makes one agent for each attempt."""

    name: str
    options: AgentOptions
    kind: Callable[[Any], Agent]

    def __call__(self) -> Agent:
        """Return a new agent."""
        return self.kind(self.options)


def find_agent(name: str, arguments: Mapping[str, Any]) -> AgentFactory:
    """Return what makes agents of a name.

    Args:
        name: The agent's name.
        arguments: Its options; strings are read as the type that the option has.

    Raises:
        RequestInvalid: No agent has this name, it cannot be loaded, an option is unknown or not valid, or the agent's
            own ``check`` of its options says that it cannot be used.
    """
    points = _known()
    if name not in points:
        raise RequestInvalid(f"there is no agent {name!r}; known are {', '.join(sorted(points))}")
    kind = _load(points[name])
    options = _parse_options(name, kind.Options, arguments)
    check = getattr(kind, "check", None)
    if check is not None:
        check(options)
    return AgentFactory(name, options, kind)


def list_agents() -> list[AgentInfo]:
    """Return every agent there is, by name."""
    return [_describe(name, point) for name, point in sorted(_known().items())]


def _known() -> dict[str, EntryPoint]:
    found = {point.name: point for point in entry_points(group=GROUP)}
    return found | {name: EntryPoint(name, value, GROUP) for name, value in _BUILT_IN.items()}


def _load(point: EntryPoint) -> Any:
    try:
        kind = getattr(importlib.import_module(point.module), point.attr)
    except (ImportError, AttributeError) as error:
        raise RequestInvalid(
            f"the agent {point.name} cannot be loaded from {point.value}: {error}"
        ) from error
    options = getattr(kind, "Options", None)
    if not (inspect.isclass(options) and issubclass(options, AgentOptions)):
        raise RequestInvalid(
            f"the agent {point.name} ({point.value}) has no Options: its class must name a subclass of AgentOptions"
        )
    return kind


def _parse_options(name: str, model: type[AgentOptions], arguments: Mapping[str, Any]) -> AgentOptions:
    for key in arguments:
        if key not in model.model_fields:
            known = ", ".join(model.model_fields) or "none"
            raise RequestInvalid(f"the agent {name} has no option {key!r}; its options are {known}")
    try:
        return model.model_validate(dict(arguments))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    why = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        raise RequestInvalid(f"the options of the agent {name} do not go together: {why}")
    where = ".".join(map(str, first["loc"]))
    option = next(each for each in _options(model) if each.name == str(first["loc"][0]))
    default = option.default if option.default == REQUIRED else f"default {option.default}"
    raise RequestInvalid(f"the agent {name}: option {where} ({option.type}, {default}): {why}")


def _describe(name: str, point: EntryPoint) -> AgentInfo:
    try:
        kind = _load(point)
    except RequestInvalid as error:
        return AgentInfo(name=name, description=str(error))
    summary = (inspect.getdoc(kind) or "").partition("\n")[0]
    return AgentInfo(
        name=name,
        description=summary,
        needs=str(getattr(kind, "needs", "")),
        options=_options(kind.Options),
        options_schema=schema_of(kind.Options),
    )


def _options(model: type[AgentOptions]) -> tuple[OptionInfo, ...]:
    schema = schema_of(model)
    return tuple(
        OptionInfo(
            name=name,
            type=type_of(schema["properties"][name], schema),
            default=default_of(field),
            description=" ".join((field.description or "").split()),
        )
        for name, field in model.model_fields.items()
    )
