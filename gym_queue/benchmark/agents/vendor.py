"""Whose API a model is asked by: its package, its key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

from gym_queue.benchmark.agents.modeloptions import ModelOptions
from gym_queue.errors import RequestInvalid

EXTRA = "agents"


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor of models, or of an API that others serve too."""

    package: str
    """Its Python package."""
    client: str
    """Name of the client's class in it."""
    key_variable: str
    """The environment's variable that holds the key."""

    @property
    def needs(self) -> str:
        """What must be there, for people."""
        return f"pip install 'gym-queue[{EXTRA}]', and {self.key_variable}"

    def check(self, options: ModelOptions) -> None:
        """See that a model can be asked at all.

        Raises:
            RequestInvalid: The package or the key is missing, or the key cannot be one.
        """
        if find_spec(self.package) is None:
            raise RequestInvalid(
                f"the package {self.package} is not installed: pip install 'gym-queue[{EXTRA}]'"
            )
        key = self.key(options)
        if not key:
            raise RequestInvalid(
                f"there is no key for the model's API: set {self.key_variable}, or give the option api_key "
                "(any word, for a server of your own that asks for none)"
            )
        if not (key.isascii() and key.isprintable()):
            raise RequestInvalid(
                f"the key for the model's API has characters that no key has: see to {self.key_variable}, "
                "or the option api_key"
            )

    def key(self, options: ModelOptions) -> str:
        """Return the key; empty without one."""
        if options.api_key is not None:
            return options.api_key.get_secret_value().strip()
        return os.environ.get(self.key_variable, "").strip()
