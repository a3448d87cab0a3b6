"""The Kubernetes manifests: valid by Kubernetes' own schemas, and in words that our programs understand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import kubernetes_validate
import pytest
import typer
import yaml

from gym_queue.cli import dashboard, master, worker
from gym_queue.settings import ClientSettings, MasterSettings, WorkerSettings
from tests.acceptance.conftest import Place, fleet_at
from tests.deploy.conftest import DOCS

FOLDER = DOCS / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))
OLDEST = "1.29"
PROGRAMS = {"gym-anything-master": master, "gym-anything-worker": worker, "gym-anything-dashboard": dashboard}


def resources(kind: str = "") -> Iterator[dict[str, Any]]:
    for file in FILES:
        for resource in yaml.safe_load_all(file.read_text()):
            if kind in ("", resource["kind"]):
                yield resource


def containers() -> Iterator[dict[str, Any]]:
    for deployment in resources("Deployment"):
        yield from deployment["spec"]["template"]["spec"]["containers"]


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_manifest_is_valid(version: str) -> None:
    for resource in resources():
        if not resource["apiVersion"].startswith("keda.sh/"):
            kubernetes_validate.validate(resource, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    deployment = next(resources("Deployment"))
    deployment["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, OLDEST, strict=True)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_programs_take_their_arguments(name: str) -> None:
    for container in containers():
        program, *arguments = container.get("args", ["", ""])
        if program == name:
            given = [re.sub(r"\$\((\w+)\)", r"some-\1", argument) for argument in arguments]
            typer.main.get_command(PROGRAMS[name].app).make_context(name, given)


def test_every_variable_of_ours_is_a_setting() -> None:
    known = {
        f"{kind.model_config['env_prefix']}{field}".upper()
        for kind in (MasterSettings, WorkerSettings, ClientSettings)
        for field in kind.model_fields
    }
    used = {each["name"] for container in containers() for each in container["env"]}
    assert {name for name in used if name.startswith("GYM_ANYTHING_")} <= known


def test_a_worker_is_given_longer_than_its_grace() -> None:
    pod = next(each for each in resources("Deployment") if each["metadata"]["name"] == "worker")["spec"][
        "template"
    ]
    grace = next(arg for arg in pod["spec"]["containers"][0]["args"] if arg.startswith("--grace="))
    assert pod["spec"]["terminationGracePeriodSeconds"] > int(grace.removeprefix("--grace="))


def test_selectors_find_pods_and_ports_are_open() -> None:
    pods = {
        json.dumps(deployment["spec"]["template"]["metadata"]["labels"]): [
            port["containerPort"]
            for container in deployment["spec"]["template"]["spec"]["containers"]
            for port in container["ports"]
        ]
        for deployment in resources("Deployment")
    }
    for service in resources("Service"):
        ports = pods[json.dumps(service["spec"]["selector"])]
        assert [port["port"] for port in service["spec"]["ports"]] == ports
    for deployment in [*resources("Deployment"), *resources("PodDisruptionBudget")]:
        assert json.dumps(deployment["spec"]["selector"]["matchLabels"]) in pods


@pytest.mark.slow
def test_the_autoscaler_reads_numbers_that_the_master_gives_to_its_token(place: Place) -> None:
    scaled = next(resources("ScaledObject"))["spec"]
    with fleet_at(place, workers=0, master_arguments=("--metrics-token", "for-monitors")) as fleet:
        reply = httpx.get(
            f"{fleet.url}/metrics", headers={"Authorization": "Bearer for-monitors"}, trust_env=False
        )
    assert reply.status_code == 200
    for trigger in scaled["triggers"]:
        assert trigger["metadata"]["url"].endswith("/metrics")
        assert re.search(rf"^{trigger['metadata']['valueLocation']} \d", reply.text, re.MULTILINE)
    assert scaled["advanced"]["scalingModifiers"]["formula"] == " + ".join(
        trigger["name"] for trigger in scaled["triggers"]
    )
