from __future__ import annotations

from collections.abc import Iterator

import pytest

from gym_queue.testing import Fleet
from tests.service.openapi.rig import fuzz, started_fleet

CASES = {"master": 3500, "worker": 1500}
"""At least; a master has more calls."""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with started_fleet() as started:
        yield started


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # of schemathesis itself, over many thousand generated values
@pytest.mark.parametrize("program", CASES)
def test_whatever_is_sent_is_answered_as_the_schema_says_and_never_by_a_5xx(
    fleet: Fleet, program: str
) -> None:
    outcome = fuzz(fleet, program, max_examples=25)
    assert not outcome.problems, "\n".join(f"{what}\n{call}" for what, call in outcome.problems.items())
    assert not [each for each in outcome.statuses if each[1] >= 500]
    assert outcome.cases >= CASES[program]
