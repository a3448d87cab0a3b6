"""An event loop whose time stands still until the simulation moves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs until nothing is left to do, and collects what went wrong behind everybody's back.

    Args:
        clock: Monotonic seconds, of the loop's own timers too.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._now = clock
        super().__init__()
        self.troubles: list[str] = []
        self.set_exception_handler(self._note)

    def time(self) -> float:
        return self._now()

    def do(self, step: Callable[[], T]) -> T:
        """Take a step on the loop, then run all that follows from it at this moment."""

        async def steps() -> T:
            found = step()
            await self._idle()
            return found

        return self.run_until_complete(steps())

    def end(self) -> None:
        """Cancel what still runs, and close."""
        while tasks := asyncio.all_tasks(self):
            for task in tasks:
                task.cancel()
            self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.close()

    async def _idle(self) -> None:
        still = 0
        while still < 2:  # the second round starts the timers that are due
            await asyncio.sleep(0)
            still = 0 if vars(self)["_ready"] else still + 1

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.troubles.append(f"{context.get('message')}: {context.get('exception')!r}")
