"""``honcho start``: the parts as separate programs, and one Ctrl-C for all of them."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from gym_queue.client import RemoteGymEnv
from gym_queue.settings import find_or_make_token
from tests.acceptance.conftest import Place, wait_until
from tests.deploy.conftest import ROOT, free_ports, health_of, need, path_with_programs

pytestmark = [pytest.mark.slow, pytest.mark.needs("redis-server")]


def test_the_procfile_runs_a_fleet_that_one_interrupt_ends(place: Place) -> None:
    broker, master, dashboard = free_ports(3)
    ports = {"BROKER_PORT": broker, "MASTER_PORT": master, "DASHBOARD_PORT": dashboard}
    variables = {**place.variables, "PATH": path_with_programs(), "PYTHONPATH": str(ROOT)}
    find_or_make_token()
    log = place.folder / "honcho.log"
    with log.open("wb") as output:
        honcho = subprocess.Popen(
            [need("honcho"), "start", "--procfile", ROOT / "Procfile", "--app-root", place.folder],
            env={**os.environ, **variables, **{name: str(port) for name, port in ports.items()}},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{master}"
        wait_until(lambda: health_of(url).get("healthy_workers") == 2, 60)
        wait_until(lambda: health_of(f"http://127.0.0.1:{dashboard}"), 60)
        with RemoteGymEnv.from_config(url, "terminal_env", task_id="largest_file") as env:
            env.reset()
            _, _, done, info = env.step([], mark_done=True)
            assert done
            assert info["verifier"]["passed"] is False
        honcho.send_signal(signal.SIGINT)
        assert honcho.wait(30) in (0, 130), log.read_text()
    except BaseException:
        print(log.read_text())  # noqa: T201  pytest shows it with the failure
        raise
    finally:
        honcho.kill()
        honcho.wait()
    assert "SIGKILL" not in log.read_text()
    place.wait_empty()
