"""A FastAPI app whose OpenAPI document is given, for one that knows of some of its routes alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI


class DescribedApp(FastAPI):
    """Serves a document that also describes what is answered in front of it.

    Args:
        describe: Returns the document; called once, when it is first asked for.
    """

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        super().__init__(docs_url=None, redoc_url=None)
        self._describe = describe
        self._document: dict[str, Any] | None = None

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        if self._document is None:
            self._document = self._describe()
        return self._document
