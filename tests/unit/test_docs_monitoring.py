"""The dashboard, the alerts and the table in docs/ speak of numbers that the master tells."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gym_queue.master.api.board import Owners, new_board
from gym_queue.master.dataplane.gateway import Gateway
from gym_queue.master.metrics import exposition_of
from gym_queue.stats.tasks import TaskStats
from tests.unit.master.conftest import World
from tests.unit.master.desk import Desk

DOCS = Path(__file__).parents[2] / "docs"
ALERTS = DOCS / "monitoring" / "alerts.yml"
DASHBOARD = DOCS / "monitoring" / "grafana-dashboard.json"
NAME = re.compile(r"\b(?:gym_queue|process)_[a-z_]*[a-z]")


@cache
def scraped() -> str:
    """Return what a master with one worker and one call tells."""

    async def scenario() -> bytes:
        world = World()
        world.register("w1")
        world.beat("w1", cpu_percent=10.0, memory_percent=20.0)
        gateway = Gateway(world.routes, world.fleet, token=None, worker_token="t", timeout_s=1)
        gateway.stats.add("w1", "step", 0.01, failed=False)
        owners = Owners(world.fleet, world.routes, Desk(world).creates, gateway, TaskStats())
        return exposition_of(new_board(owners)).text()

    return asyncio.run(scenario()).decode()


@cache
def told() -> frozenset[str]:
    """Return the names of all series."""
    families = text_string_to_metric_families(scraped())
    return frozenset(sample.name for family in families for sample in family.samples)


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def questions() -> Iterator[str]:
    """Yield every PromQL expression of the dashboard and of the alerts."""
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_all_that_dashboard_and_alerts_ask_for_is_told():
    asked = {name for question in questions() for name in NAME.findall(question)}
    assert len(asked) > 20
    assert asked - told() == set()


def test_the_table_names_all_that_is_told_and_nothing_else():
    rows = [line for line in (DOCS / "monitoring.md").read_text().splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in NAME.findall(row.split("|")[1])}
    series = {re.sub(r"_(bucket|sum|count)$", "", name) for name in told()}
    assert named == {name for name in series if name.startswith("gym_queue_")}


@pytest.mark.needs("promtool")
def test_every_expression_is_promql(tmp_path):
    asked = [
        re.sub(r"\$\w+", "x", question.replace("$__rate_interval", "5m"))
        for question in questions()
        if not question.startswith("label_values")
    ]
    rules = [{"record": f"question_{number}", "expr": question} for number, question in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    ran = subprocess.run(
        ["promtool", "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_panels_are_told_apart_and_do_not_overlap():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_every_alert_says_what_and_what_to_do():
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("check", "metrics"), "scrape"),
        (("check", "rules", str(ALERTS)), ""),
        (("test", "rules", str(Path(__file__).with_name("alerts_test.yml"))), ""),
    ],
)
def test_promtool_finds_nothing_wrong(arguments, given):
    ran = subprocess.run(
        ["promtool", *arguments],
        input=scraped() if given else "",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr
