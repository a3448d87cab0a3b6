"""Virtual machines whose memory is not there are refused when they are created, before any of them starts."""

from __future__ import annotations

import pytest

from gym_queue.errors import NoCapacity, RunnerUnavailable
from tests.service.worker.conftest import StartRig
from tests.service.worker.rig import spec

GIB = 1 << 30


def test_a_create_is_refused_for_want_of_memory_and_holds_no_slot(start_rig: StartRig) -> None:
    rig = start_rig(runners=("qemu", "fake"), vm_memory_bytes=GIB)
    small = {**spec(), "runner": "qemu", "resources": {"mem_gb": 0.5}}
    with pytest.raises(RunnerUnavailable, match=r"lower resources\.mem_gb, or use a larger host"):
        rig.open({**small, "resources": {"mem_gb": 900_000}})
    first = rig.open(small)
    with pytest.raises(NoCapacity, match="beside those of the others") as caught:
        rig.open(small)
    assert caught.value.details["lacks_memory"] is True
    rig.open({**spec(), "runner": "fake"})
    rig.close(first)
    rig.close(rig.open(small))
    assert len(rig.live) == 1
