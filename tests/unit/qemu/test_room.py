"""A machine's memory is there before it starts, or the create goes elsewhere."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from gym_queue.errors import NoCapacity, RunnerUnavailable
from gym_queue.runners.memory import HostMemory, read_memory
from gym_queue.runners.qemu.room import OVERHEAD_BYTES, check_room, memory_of
from gym_queue.specs.loader import parse_env

GIB = 1 << 30
SPEC = {"id": "vm", "observation": [{"type": "rgb_screen"}], "action": [{"type": "mouse"}]}


def test_a_machine_takes_what_its_spec_says_or_the_default_and_what_qemu_takes() -> None:
    large = parse_env({**SPEC, "resources": {"mem_gb": 4}}, where="env")
    assert memory_of("qemu", large) == 4 * GIB + OVERHEAD_BYTES
    assert memory_of("qemu_native", parse_env(SPEC, where="env")) == GIB + OVERHEAD_BYTES
    assert memory_of("docker", large) == 0


def test_what_the_host_never_has_is_for_another_host() -> None:
    with pytest.raises(RunnerUnavailable, match=r"needs 8\.0 GiB of memory, and this host has 4\.0 GiB"):
        check_room("vm", 8 * GIB, HostMemory(4 * GIB, 3 * GIB))


def test_what_others_use_now_may_be_there_in_a_moment() -> None:
    with pytest.raises(NoCapacity, match=r"1\.0 GiB are free") as caught:
        check_room("vm", 2 * GIB, HostMemory(4 * GIB, GIB))
    assert caught.value.details["retry_after_s"] > 0
    assert caught.value.details["lacks_memory"] is True


def test_what_is_there_is_taken() -> None:
    check_room("vm", 2 * GIB, HostMemory(4 * GIB, 2 * GIB))


def test_this_hosts_memory_is_read(tmp_path: Path) -> None:
    assert read_memory(tmp_path).total == psutil.virtual_memory().total


def test_a_containers_limit_counts_and_what_its_files_cache_is_free(tmp_path: Path) -> None:
    for name, content in {
        "memory.max": f"{GIB}\n",
        "memory.current": f"{GIB // 2}\n",
        "memory.stat": f"anon 1\ninactive_file {GIB // 4}\n",
    }.items():
        (tmp_path / name).write_text(content)
    assert read_memory(tmp_path) == HostMemory(GIB, GIB // 4 * 3)


def test_a_group_without_a_limit_is_the_host(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1\n")
    assert read_memory(tmp_path).total == psutil.virtual_memory().total
