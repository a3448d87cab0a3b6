"""Whole numbers as JSON has them: 2.0 is 2, and neither "2" nor true is a number."""

from __future__ import annotations

from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Whole:
    """Makes ``int`` a whole number between two bounds, both allowed.

    Args:
        least: None is no bound.
        most: None is no bound.
    """

    def __init__(self, least: int | None = None, most: int | None = None) -> None:
        self._least, self._most = least, most

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        number = core_schema.int_schema(strict=True, ge=self._least, le=self._most)
        return core_schema.no_info_before_validator_function(to_whole, number)


def to_whole(value: object) -> object:
    """Turn a float that is a whole number into the integer; leave everything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
