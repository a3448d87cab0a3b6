"""The life of a virtual machine: kept, restored, started again, shut down, crashed, without room."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from gym_queue.errors import EnvTimeout, GymQueueError, RunnerFailed
from gym_queue.runners.processes import find_processes
from gym_queue.runners.qemu.cleanup import remove_orphans
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.runner import QemuRunner
from gym_queue.testing.conformance.subject import act, output_of
from tests.vm.conftest import MakeRunner, own
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("qemu-system-x86_64", "qemu-img")
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
BOOT_S = 400.0
COUNTING = (
    "cd /tmp; (while :; do echo $((++n)) > count; sleep 0.2; done) >/dev/null 2>&1 & echo kept > /tmp/file"
)


def machine_of(runner: QemuRunner) -> psutil.Process:
    """Return the QEMU process of a runner."""
    name = str(runner.info().instance_name).removeprefix("gym-queue-")
    (process,) = [each for each in find_processes(name) if each.name().startswith("qemu")]
    return process


@pytest.fixture(scope="module")
def kept(make: MakeRunner) -> QemuRunner:
    """Give a machine that counts, and is kept as it runs (``machine``) and its disk alone (``disk``)."""
    runner = make()
    runner.start()
    output_of(runner, COUNTING)
    runner.save_machine("machine")
    runner.save_checkpoint("disk")
    return runner


def test_a_machine_that_was_kept_goes_on(kept: QemuRunner) -> None:
    before = int(output_of(kept, "cat /tmp/count"))
    wait_until(lambda: int(output_of(kept, "cat /tmp/count") or 0) > before)


def test_a_restored_machine_has_its_files_and_its_programs_run_on(kept: QemuRunner, make: MakeRunner) -> None:
    restored = make(checkpoint="machine")
    restored.start()
    assert output_of(restored, "cat /tmp/file") == "kept\n"
    before = int(output_of(restored, "cat /tmp/count"))
    wait_until(lambda: int(output_of(restored, "cat /tmp/count") or 0) > before)
    output_of(restored, "echo other > /tmp/file")
    assert output_of(kept, "cat /tmp/file") == "kept\n"
    restored.close()


def test_a_restored_machine_can_be_kept_again(kept: QemuRunner, make: MakeRunner) -> None:
    restored = make(checkpoint="machine")
    restored.start()
    output_of(restored, "echo again > /tmp/file")
    restored.save_machine("again")
    restored.close()
    again = make(checkpoint="again")
    again.start()
    assert output_of(again, "cat /tmp/file") == "again\n"
    again.close()


def test_restored_machines_differ_in_what_chance_gives_and_know_the_time(
    kept: QemuRunner, make: MakeRunner
) -> None:
    said = []
    for _ in range(2):
        restored = make(checkpoint="machine")
        restored.start()
        said.append(output_of(restored, "head -c 8 /dev/urandom | od -An -tx1"))
        assert abs(int(output_of(restored, "date +%s")) - time.time()) < 30
        restored.close()
    assert said[0] != said[1]


def test_a_checkpoint_that_is_damaged_is_refused_and_leaves_nothing(
    kept: QemuRunner, make: MakeRunner, checkpoint_dir: Path
) -> None:
    shutil.copytree(checkpoint_dir / "machine", checkpoint_dir / "damaged")
    (checkpoint_dir / "damaged" / "state").write_bytes(b"nonsense")
    broken = make("damaged", checkpoint="damaged")
    with pytest.raises(RunnerFailed):
        broken.start()
    name = str(broken.info().instance_name).removeprefix("gym-queue-")
    assert find_processes(name) == []


def test_a_checkpoint_that_is_gone_is_said(make: MakeRunner) -> None:
    with pytest.raises(RunnerFailed, match="is gone"):
        make(checkpoint="never-made").start()


def test_no_room_for_a_checkpoint_leaves_nothing_of_it(
    kept: QemuRunner, checkpoint_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(checkpoint_dir)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(RunnerFailed, match="make room"):
        kept.save_machine("no-room")
    assert not (checkpoint_dir / "no-room").exists()
    assert output_of(kept, "echo goes on") == "goes on\n"


def test_a_machine_that_shuts_itself_down_says_so(kept: QemuRunner, make: MakeRunner) -> None:
    runner = make(checkpoint="machine")
    runner.start()
    machine = machine_of(runner)
    runner.exec("(sleep 0.3; echo o | sudo tee /proc/sysrq-trigger) >/dev/null 2>&1 &", timeout_s=60)
    machine.wait(60)
    with pytest.raises(RunnerFailed, match="shut down from inside"):
        runner.exec("true", timeout_s=60)
    with pytest.raises(RunnerFailed, match="shut down from inside"):
        runner.observe()
    runner.close()


def test_a_kernel_that_panics_says_so(kept: QemuRunner, make: MakeRunner) -> None:
    runner = make(checkpoint="machine")
    runner.start()
    runner.exec("(sleep 0.3; echo c | sudo tee /proc/sysrq-trigger) >/dev/null 2>&1 &", timeout_s=60)
    with pytest.raises(RunnerFailed, match="crashed"):
        runner.exec("sleep 600", timeout_s=600)
    runner.close()


def test_a_killed_qemu_is_lost_and_leaves_nothing(kept: QemuRunner, make: MakeRunner) -> None:
    runner = make(checkpoint="machine")
    runner.start()
    machine_of(runner).kill()
    with pytest.raises(RunnerFailed, match="QEMU was killed"):
        runner.exec("true", timeout_s=30)
    runner.close()
    name = str(runner.info().instance_name).removeprefix("gym-queue-")
    assert find_processes(name) == []


def test_closing_while_it_is_restored_ends_the_start(kept: QemuRunner, make: MakeRunner) -> None:
    runner = make(checkpoint="machine")
    ended: list[GymQueueError] = []

    def start() -> None:
        try:
            runner.start()
        except GymQueueError as error:
            ended.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    runner.close()
    thread.join(60)
    assert not thread.is_alive()
    assert not ended or "closed" in str(ended[0])
    name = str(runner.info().instance_name).removeprefix("gym-queue-")
    assert find_processes(name) == []


def test_the_machine_of_a_dead_process_is_ended_by_the_next_worker(vm_image: Image, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from gym_queue.runners.base import RunnerSetup; "
        "from gym_queue.runners.qemu.runner import QemuRunner; from tests.vm.conftest import OPTIONS, make_spec; "
        f"r = QemuRunner(RunnerSetup({own('orphan')!r}, make_spec({{}}), None, Path({str(tmp_path)!r}), vm=OPTIONS)); "
        "r.start(); print('started', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"started\n"
        remove_orphans()
        assert find_processes(own("orphan")) != []
        owner.send_signal(signal.SIGKILL)
    assert find_processes(own("orphan")) != []
    assert remove_orphans() >= 1
    assert find_processes(own("orphan")) == []


def test_only_allowed_hosts_are_reached(make: MakeRunner) -> None:
    name = socket.gethostname()  # which no guest knows
    with socket.create_server((socket.gethostbyname(name), 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=_greet, args=(server,), daemon=True).start()
        runner = make(
            resources={"cpu": 2, "mem_gb": 1, "net": True},
            security={"network_allowlist": [f"{name}:{port}"]},
        )
        runner.start()
        reach = "timeout 10 bash -c 'cat < /dev/tcp/{host}/{port}'"
        assert output_of(runner, reach.format(host=name, port=port)) == "hello\n"
        other = runner.exec(reach.format(host="10.0.2.2", port=port), timeout_s=60)
        assert other.exit_status != 0
        runner.close()


def _greet(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"hello\n")


def test_accounts_mounts_and_variables_are_there(make: MakeRunner, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("from the host")
    runner = make(
        env_dir=tmp_path,
        variables={"GYM_SEED": "7"},
        mounts=[{"source": "data", "target": "/srv/data"}],
        user_accounts=[{"name": "anna", "password": "secret", "uid": 1234}],
    )
    runner.start()
    assert output_of(runner, "cat /srv/data/file; echo; id -u anna; echo $GYM_SEED $DISPLAY") == (
        "from the host\n1234\n7 :0\n"
    )
    act(runner, {"keyboard": {"text": "echo typed > ~/typed\n"}})
    wait_until(lambda: output_of(runner, "cat ~/typed") == "typed\n")
    runner.close()


def test_a_machine_that_starts_again_from_inside_is_waited_for(make: MakeRunner) -> None:
    runner = make()
    runner.start()
    output_of(runner, "sudo sh -c 'echo kept > /root/file; sync'")
    machine, first = machine_of(runner), output_of(runner, BOOT_ID)
    runner.exec("(sleep 0.2; echo b | sudo tee /proc/sysrq-trigger) >/dev/null 2>&1 &", timeout_s=60)
    wait_until(lambda: _said(runner, BOOT_ID) not in ("", first), timeout_s=BOOT_S)
    assert output_of(runner, "sudo cat /root/file") == "kept\n"
    assert machine.is_running()
    runner.close()


def _said(runner: QemuRunner, command: str) -> str:
    try:
        return runner.exec(command, timeout_s=5).output
    except (EnvTimeout, RunnerFailed):  # while its kernel goes
        return ""
