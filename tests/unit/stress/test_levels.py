"""How many connections step at once: never more than there are environments."""

from __future__ import annotations

import pytest

from bench.wrk import Request, _script
from gym_queue.errors import RequestInvalid
from gym_queue.stress.plan import Mode, Plan, rate_levels


@pytest.mark.parametrize(
    ("envs", "asked", "levels"), [(8, (), (1, 8)), (50, (), (1, 10, 50)), (1, (), (1,)), (8, (4, 8), (4, 8))]
)
def test_a_level_is_at_most_the_number_of_environments(envs, asked, levels):
    assert rate_levels(Plan(mode=Mode.RATE, envs=envs, concurrency=asked)) == levels


def test_more_connections_than_environments_are_refused():
    with pytest.raises(RequestInvalid, match="raise --envs"):
        rate_levels(Plan(mode=Mode.RATE, envs=8, concurrency=(1, 9)))


def test_each_thread_of_wrk_asks_one_path_alone():
    script = _script(Request("POST", ["/a", "/b"], "t", "{}"))
    assert 'local paths, threads = {"/a", "/b"}, 0' in script
    assert "wrk.path = paths[number % #paths + 1]" in script
    assert "request = function" not in script
