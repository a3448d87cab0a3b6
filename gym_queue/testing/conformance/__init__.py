"""What every runner must do, as test cases that a runner's own tests inherit.

    from gym_queue.testing.conformance import RunnerConformance, Subject

    class TestMyRunner(RunnerConformance):
        @pytest.fixture
        def subject(self) -> Subject:
            return Subject("mine", MY_SPEC, find_processes=..., open=MyRunner)

Needs pytest.
"""

import pytest

for _module in ("commands", "files", "life", "screen"):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from gym_queue.testing.conformance.commands import CommandCases  # noqa: E402  (rewritten first)
from gym_queue.testing.conformance.files import FileCases  # noqa: E402
from gym_queue.testing.conformance.life import LifeCases  # noqa: E402
from gym_queue.testing.conformance.screen import ScreenCases  # noqa: E402
from gym_queue.testing.conformance.subject import Subject  # noqa: E402

__all__ = ["RunnerConformance", "Subject"]


class RunnerConformance(LifeCases, CommandCases, FileCases, ScreenCases):
    """All the cases; a subclass gives the ``subject`` fixture."""
