"""Which model is asked, and how: from ``verifier_env``, the task's spec, and the worker's own environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from gym_queue.errors import VerifierFailed

PREFIX, CHECKLIST_PREFIX = "VLM_", "GYM_ANYTHING_VLM_CHECKLIST_"
KEYS: Mapping[str, str] = {
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "local": "VLM_API_KEY",
}
"""A backend → the variable that holds its key."""

Backend = Literal["anthropic", "openai", "gemini", "local"]


class ModelSettings(BaseModel):
    """One model of one provider."""

    model_config = ConfigDict(frozen=True)

    backend: Backend
    """``local`` is any server that speaks OpenAI's chat completions."""
    model: str = Field(min_length=1, max_length=200)
    base_url: str | None = Field(None, pattern=r"^https?://[^\s?#@]+$")
    """Where its API begins; None is the provider's own address."""
    api_key: SecretStr | None = None
    max_retries: int = Field(3, ge=0, le=20)
    """How often a call is sent again that was refused for a while, or did not come through."""
    timeout: float = Field(300.0, gt=0, allow_inf_nan=False)
    """Seconds that one call may take, with all its retries."""
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    """None leaves it to the provider: some models take none."""
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    max_tokens: int = Field(8192, ge=1)


class VariableLookup:
    """Finds settings by their names in upper case.

    The first of these that has one: ``GYM_ANYTHING_VLM_CHECKLIST_<NAME>`` of ``verifier_env``, the task's spec,
    ``VLM_<NAME>`` of ``verifier_env``, ``VLM_<NAME>`` of this process.

    Args:
        given: ``verifier_env``.
        spec: The task's own settings.
        prefix: What goes before a name that comes before all others.
        host: The variables of this process; None reads them from the system.
    """

    def __init__(
        self,
        given: Mapping[str, str],
        spec: Mapping[str, Any],
        *,
        prefix: str = CHECKLIST_PREFIX,
        host: Mapping[str, str] | None = None,
    ) -> None:
        self.given, self.spec, self.prefix = given, spec, prefix
        self.host = os.environ if host is None else host

    def find(self, name: str) -> tuple[Any, str]:
        """Return a setting and where it is from: ``verifier_env``, ``task``, ``worker``, or nowhere."""
        variable = PREFIX + name.upper()
        if value := self.given.get(self.prefix + name.upper()):
            return value, "verifier_env"
        if self.spec.get(name) is not None:
            return self.spec[name], "task"
        if value := self.given.get(variable):
            return value, "verifier_env"
        value = self.host.get(variable)
        return (value, "worker") if value else (None, "")

    def read(self, model: type[BaseModel]) -> dict[str, Any]:
        """Return the settings of a model that are there."""
        found = {name: self.find(name)[0] for name in model.model_fields if name != "api_key"}
        return {name: value for name, value in found.items() if value is not None}


def read_settings(lookup: VariableLookup, *, task: str) -> ModelSettings | None:
    """Return the model to ask; None when none is named at all.

    A key goes only where its owner sends it: to the provider, or to a ``base_url`` from the same place as the key, or
    from ``verifier_env``. A task's spec holds no key.

    Raises:
        VerifierFailed: The backend, model or key is missing, or a setting is not valid.
    """
    values = lookup.read(ModelSettings)
    if "backend" not in values and "base_url" not in values:
        return None
    values.setdefault("backend", "local")
    backend = values["backend"] = str(values["backend"]).lower()
    if "model" not in values:
        raise VerifierFailed(
            f"the task {task} is judged by a model of the backend {backend:.100}, and none is named: set VLM_MODEL in verifier_env"
        )
    if backend == "local" and "base_url" not in values:
        raise VerifierFailed(
            f"the task {task} is judged by a model of a local server, and it is not said where: set VLM_BASE_URL in verifier_env"
        )
    try:
        return ModelSettings.model_validate({**values, "api_key": _find_key(backend, lookup, task)})
    except ValidationError as error:
        raise VerifierFailed(
            f"the settings of the model that judges the task {task} are not valid: {first_problem(error)}"
        ) from None  # it may quote the key


def _find_key(backend: str, lookup: VariableLookup, task: str) -> str | None:
    variable = KEYS.get(backend)
    given = lookup.given.get(f"{lookup.prefix}API_KEY") or lookup.given.get(variable or "")
    _, url_from = lookup.find("base_url")
    if given and url_from != "task":
        return given
    held = lookup.host.get(variable or "")
    if held and not given and url_from in ("", "worker"):
        return held
    if backend == "local" or variable is None:
        return None
    if given or held:
        raise VerifierFailed(
            f"the base_url for the model of task {task} is not by the owner of the key: set {variable} and VLM_BASE_URL both in verifier_env"
        )
    raise VerifierFailed(
        f"the task {task} is judged by a model of the backend {backend}, and there is no key for it: set {variable} in verifier_env"
    )


def first_problem(error: ValidationError) -> str:
    """Return what is wrong first, without the value: it may be a secret."""
    problem: Any = error.errors(include_input=False)[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'spec'}: {problem['msg']}"
