"""Parts of a master to which time matters."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

logger = logging.getLogger(__name__)

TICK_S = 0.5


class Ticking(Protocol):
    """A part to which time matters."""

    def tick(self) -> None:
        """Look at the clock."""


async def tick_for_ever(*parts: Ticking, pause_s: float = TICK_S) -> None:
    """Let time pass for each of these; a bug in one does not stop the others."""
    while True:
        await asyncio.sleep(pause_s)
        for tick in [part.tick for part in parts]:
            try:
                tick()
            except Exception:
                logger.exception(
                    "a tick of the master failed, which is a bug; the next one comes all the same"
                )
