"""Creates that wait for workers which are yet to come."""

from __future__ import annotations

import asyncio

from tests.unit.master.desk import Desk


def run(test):
    """Run an async test on a fresh loop."""
    return lambda world: asyncio.run(test(world, Desk(world, wait_for_workers=True)))
