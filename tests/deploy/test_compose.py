"""``docker compose up``, as docs/deploy/compose.md says it: built from the tree, healed after kills, gone without a trace."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gym_queue.client import RemoteGymEnv
from tests.acceptance.conftest import Place, wait_until
from tests.deploy.conftest import DOCS, ROOT, blocks_of, free_ports, need, path_with_programs, workers_of
from tests.deploy.containers import (
    DEBIAN,
    FLEET,
    IMAGES,
    PYTHON,
    REDIS,
    WHEELS,
    build,
    build_fleet_image,
    run,
)

pytestmark = [pytest.mark.slow, pytest.mark.needs("docker")]

UP_S = 300
DOCKER_ENVS = DOCS / "compose" / "docker-envs.yml"


class Project:
    """One compose project of its own name, ports and secrets, in a folder of its own."""

    def __init__(self, place: Place) -> None:
        self.name = f"gymqueue{secrets.token_hex(4)}"
        master_port, dashboard_port = free_ports(2)
        self.url = f"http://127.0.0.1:{master_port}"
        self.folder = place.folder
        self.work_dir = place.folder / "work"
        self.work_dir.mkdir()
        self.variables = {
            **place.variables,
            "PATH": path_with_programs(),
            "PYTHONPATH": str(ROOT),
            "COMPOSE_FILE": str(ROOT / "docker-compose.yml"),
            "COMPOSE_ENV_FILES": str(place.folder / ".env"),
            "COMPOSE_PROJECT_NAME": self.name,
            "GYM_QUEUE_IMAGE": FLEET,
            "BASE": PYTHON,
            "BUILDER": WHEELS,
            "REDIS_IMAGE": REDIS,
            "MASTER_PORT": str(master_port),
            "DASHBOARD_PORT": str(dashboard_port),
            "HEALTH_INTERVAL": "1s",
            "WORK_DIR": str(self.work_dir),
        }
        plugins = Path(place.variables["HOME"]) / ".docker" / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(need("docker-compose"))

    def shell(self, script: str) -> str:
        """Run lines of the page as a user does."""
        return run(["bash", "-euxc", script], timeout_s=UP_S, cwd=self.folder, **self.variables)

    @property
    def token(self) -> str:
        """The token that the page's first lines made."""
        return (self.folder / ".env").read_text().partition("GYM_ANYTHING_TOKEN=")[2].partition("\n")[0]

    def left(self) -> dict[str, list[str]]:
        """Return what Docker still has of the project, by kind."""
        of = f"label=com.docker.compose.project={self.name}"
        commands = {"container": ["ps", "--all"], "volume": ["volume", "ls"], "network": ["network", "ls"]}
        found = {
            kind: run(["docker", *command, "--quiet", "--filter", of]).split()
            for kind, command in commands.items()
        }
        return {kind: ids for kind, ids in found.items() if ids}


@pytest.fixture
def project(place: Place) -> Iterator[Project]:
    build_fleet_image()
    build(REDIS, IMAGES / "redis.Dockerfile", IMAGES)
    made = Project(place)
    yield made
    if (made.folder / ".env").exists():
        made.shell("docker compose down --volumes --timeout 0")


@pytest.mark.timeout(600)
def test_a_fleet_of_containers_heals_goes_on_and_leaves_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    up, try_it, down = blocks_of(DOCS / "compose.md", "test_compose.py")
    project.shell(up)
    monkeypatch.setenv("GYM_ANYTHING_TOKEN", project.token)
    assert "2 passed" in project.shell(try_it)
    assert project.shell("docker compose exec --no-TTY worker id -u").strip() == "10001"

    with RemoteGymEnv.from_config(project.url, "terminal_env", task_id="largest_file") as env:
        env.reset()
        (idle,) = set(workers_of(project.url)) - {env.worker_id}
        kill_the_program_of(project, idle)
        wait_until(lambda: workers_of(project.url).get(idle) == "dead", 60)
        wait_until(lambda: list(workers_of(project.url).values()).count("healthy") == 2, 60)
        project.shell("docker compose restart master")
        observation = env.step([{"keyboard": {"text": "echo $((6 * 7))\n"}}])[0]
        assert "42" in observation["cli_stdout"]["text"]

    runs_docker_environments(project)
    project.shell(down)
    assert project.left() == {}


def kill_the_program_of(project: Project, worker_id: str) -> None:
    """Kill one worker's program within its container, as the kernel does when memory runs out."""
    for container in project.shell("docker compose ps --quiet worker").split():
        if worker_id in project.shell(f"docker logs {container} 2>&1"):
            project.shell(
                f"docker exec {container} sh -c 'kill -KILL $(cut -d\" \" -f1 /proc/1/task/1/children)'"
            )


def runs_docker_environments(project: Project) -> None:
    """With the override file, a worker opens environments on this machine's daemon."""
    project.work_dir.chmod(0o777)  # the containers' user is not ours
    project.folder.chmod(0o755)
    project.variables["COMPOSE_FILE"] += f":{DOCKER_ENVS}"
    project.variables["DOCKER_GID"] = str(Path("/var/run/docker.sock").stat().st_gid)
    project.shell("docker compose up --detach --wait --scale worker=1")
    spec = {
        "id": "in-docker",
        "image": DEBIAN,
        "runner": "docker",
        "observation": [{"type": "cli_stdout"}],
        "action": [{"type": "keyboard"}],
        "resources": {"net": False},
    }
    with RemoteGymEnv(project.url, env_spec=spec, runner="docker") as env:
        env.reset()
        assert env.runner_name == "DockerRunner"


def test_a_compose_file_without_its_secrets_says_how_to_make_them(place: Place) -> None:

    ran = subprocess.run(
        [need("docker-compose"), f"--file={ROOT}/docker-compose.yml", "config", "--quiet"],
        env={**{k: v for k, v in os.environ.items() if k != "GYM_ANYTHING_TOKEN"}, **place.variables},
        cwd=place.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert "make .env" in ran.stderr
