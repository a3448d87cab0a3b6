from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest

from gym_queue.worker.doctor import diagnose
from gym_queue.worker.doctor.dockerd import MIN_API_VERSION, docker_daemon, judge_daemon, no_answer


class _Daemon(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"Version": "28.2.1", "ApiVersion": "1.50"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: the test's output is enough."""


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Something that answers as the Docker daemon does."""
    pytest.importorskip("docker")
    with ThreadingUnixStreamServer(str(tmp_path / "daemon.sock"), _Daemon) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/daemon.sock")
        yield
        server.shutdown()
        thread.join()


def test_a_daemon_that_answers_is_named_with_its_version(daemon, linux):
    finding = docker_daemon(linux, 4)
    assert (finding.ok, finding.reason) == (True, "Docker 28.2.1 answers")


def test_a_host_with_docker_but_a_version_without_its_runner_is_not_ready(daemon):
    (report,) = diagnose(["docker"], implemented={"local", "fake"}).runners
    assert not report.ready
    assert report.reason == "Docker 28.2.1 answers, but this version has no docker runner yet"
    assert report.remedy == "use a runner that this version has: local"


def test_a_host_with_docker_and_its_runner_is_ready(daemon):
    assert diagnose(["docker"], implemented={"docker"}).ready == ("docker",)


def test_a_client_without_daemon_is_told_to_start_it(linux, tmp_path, monkeypatch):
    pytest.importorskip("docker")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    finding = docker_daemon(linux, 4)
    assert finding.reason == f"the Docker daemon does not answer at unix://{tmp_path}/docker.sock"
    assert "systemctl start docker" in str(finding.remedy)


def test_a_daemon_that_accepts_but_never_answers_is_given_up(linux, tmp_path, monkeypatch):
    pytest.importorskip("docker")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "d.sock"))
        silent.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/d.sock")
        assert "does not answer" in docker_daemon(linux, 0.9).reason


def test_permission_denied_on_the_socket_has_its_own_remedy(linux):
    finding = no_answer(linux, "unix:///var/run/docker.sock", PermissionError(13, "Permission denied"))
    assert "permission denied" in finding.reason
    assert "usermod -aG docker" in str(finding.remedy)


def test_without_the_sdk_the_remedy_is_the_extra(linux, monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    assert docker_daemon(linux, 4).remedy == "pip install 'gym-queue[docker]'"


def test_docker_on_this_machine_is_ready_or_says_what_to_do():
    (report,) = diagnose(["docker"], implemented={"docker"}).runners
    assert report.ready or report.remedy


def test_a_daemon_of_another_machine_will_not_do(linux, monkeypatch):
    pytest.importorskip("docker")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    finding = docker_daemon(linux, 4)
    assert not finding.ok
    assert "unix socket" in finding.reason


def test_a_daemon_that_is_too_old_is_not_ready_and_the_remedy_is_an_upgrade():
    finding = judge_daemon({"Version": "19.03.1", "ApiVersion": "1.40"}, {})
    assert (finding.ok, finding.remedy) == (False, "upgrade Docker to 20.10 or later")


def test_a_daemon_of_windows_containers_is_not_ready():
    assert not judge_daemon({"Version": "28", "ApiVersion": "1.50"}, {"OSType": "windows"}).ok


def test_a_disk_that_is_nearly_full_is_not_ready(tmp_path, monkeypatch):
    monkeypatch.setattr("gym_queue.worker.doctor.dockerd.MIN_FREE_BYTES", 1 << 62)
    finding = judge_daemon({"Version": "28", "ApiVersion": MIN_API_VERSION}, {"DockerRootDir": str(tmp_path)})
    assert (finding.ok, finding.remedy) == (False, "docker system prune")


def test_the_storage_of_a_daemon_is_told(tmp_path):
    finding = judge_daemon({"Version": "28"}, {"Driver": "overlay2", "DockerRootDir": str(tmp_path)})
    assert finding.details["docker_storage"] == "overlay2"
    assert float(finding.details["docker_free_gb"]) > 0
