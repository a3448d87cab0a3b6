"""A person drives an environment from its live view, and an agent of the benchmark carries out what they do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from gym_queue.benchmark.agents.base import AgentTask, EnvPlace
from gym_queue.benchmark.agents.human import HumanAgent, HumanOptions
from gym_queue.errors import AgentFailed, RequestInvalid
from gym_queue.specs.loader import load_env, load_task, resolve_env_dir
from gym_queue.testing import Fleet
from tests.browser.conftest import PHONE, TOKEN, Watched, find_barriers
from tests.browser.scene import TASKS, Door

pytestmark = pytest.mark.needs("chromium", "redis-server")

TASK = "permissions"
WIDTH_PX, HEIGHT_PX = 1280, 720
YOUR_TURN = re.compile("Your turn")
PATIENCE_S = 30
BENCHMARK = (
    *(sys.executable, "-m", "gym_queue.cli.main", "benchmark", "terminal_env"),
    *("--task", TASK, "--agent", "HumanAgent"),
)


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_ANYTHING_TOKEN", TOKEN)


@dataclass(frozen=True, slots=True)
class Driven:
    """An environment, and what its agent was given to do."""

    env_id: str
    turns: SimpleQueue[Sequence[dict[str, Any]]]
    over: Future[None]

    def next(self) -> list[dict[str, Any]]:
        """Return the next turn's actions."""
        return list(self.turns.get(timeout=PATIENCE_S))


@contextmanager
def driven(fleet: Fleet) -> Iterator[Driven]:
    """Run a HumanAgent in a terminal until its environment is closed, as the benchmark's loop does."""
    turns: SimpleQueue[Sequence[dict[str, Any]]] = SimpleQueue()
    folder = resolve_env_dir("terminal_env")
    task = load_task(folder, TASK)
    with Door(fleet.url, TOKEN).open("terminal_env", TASK) as env, ThreadPoolExecutor(1) as threads:
        agent = HumanAgent(HumanOptions())
        agent.start(AgentTask(TASK, load_env(folder), task, folder, task.description, 0))
        agent.located(EnvPlace(env.env_id, fleet.url))
        observation = env.reset(seed=1)

        def play() -> None:
            for step in range(1000):
                turn = agent.act(observation, step=step)
                turns.put(turn.actions)
                try:
                    env.step(list(turn.actions), 0.0)
                except RequestInvalid as error:
                    agent.refused(error)

        over = threads.submit(play)
        try:
            yield Driven(env.env_id, turns, over)
        finally:
            env.close()
            assert over.exception(PATIENCE_S) is not None  # which ends the agent's wait
            agent.close()


def drive(desk: Watched, env_id: str) -> Page:
    """Open the page of an environment, ready to drive it."""
    page = desk.open("environment", env=env_id, drive="1")
    expect(page.get_by_text(YOUR_TURN)).to_be_visible()
    expect(page.locator(".stage-frame")).to_be_visible()
    return page


def frame(page: Page) -> dict[str, float]:
    """Return where the picture is in the window."""
    found: dict[str, float] = page.locator(".stage-frame").evaluate(
        "frame => { const { left, top, width, height } = frame.getBoundingClientRect(); return { left, top, width, height }; }"
    )
    return found


def corner(page: Page) -> tuple[int, int]:
    """Return where the picture's first whole pixel is in the window, once it is in sight."""
    page.locator(".stage-frame").scroll_into_view_if_needed()
    at = frame(page)
    return ceil(at["left"]), ceil(at["top"])


def test_a_person_passes_a_task_of_a_benchmark_run(fleet: Fleet, desk: Watched, tmp_path: Path) -> None:
    script = json.loads((TASKS / TASK / "solution.json").read_text())["steps"]
    command = [*BENCHMARK, "--remote-url", fleet.url, "--output", str(tmp_path / "run")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        lines = iter(run.stderr.readline, "")
        said = next(line for line in lines if f"{TASK} waits for you at" in line)
        page = desk.page
        page.goto(said.split()[-1])
        expect(page.get_by_text(YOUR_TURN)).to_have_text("Your turn: step 0")
        expect(page.get_by_role("region", name="Task")).to_contain_text("Set the permissions of the folder")
        page.locator(".stage-frame").click()
        expect(page.get_by_text(YOUR_TURN)).to_have_text("Your turn: step 1")
        page.keyboard.type(script[0][0]["keyboard"]["text"])
        expect(page.get_by_text(YOUR_TURN)).to_have_text("Your turn: step 2")
        page.get_by_role("button", name="Done").click()
        page.get_by_role("dialog").get_by_role("button", name="It is done").click()
        expect(page.get_by_text("This environment has closed.")).to_be_visible()
        _, errors = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, errors
    attempts = [json.loads(line) for line in (tmp_path / "run/attempts.jsonl").read_text().splitlines()]
    assert [(each["task_id"], each["outcome"], each["steps"]) for each in attempts] == [(TASK, "passed", 3)]


def test_a_click_is_of_the_very_pixel_at_any_size(fleet: Fleet, desk: Watched) -> None:
    with driven(fleet) as env:
        page = drive(desk, env.env_id)
        for size in ({"width": 1280, "height": 800}, PHONE):
            page.set_viewport_size(size)  # type: ignore[arg-type]  # these are its two numbers
            page.locator(".stage-frame").scroll_into_view_if_needed()
            at = frame(page)
            for x, y in ((0.0, 0.0), (0.31, 0.77), (0.5, 0.5), (1.0, 1.0)):
                place = (
                    round(at["left"] + 1 + x * (at["width"] - 2)),
                    round(at["top"] + 1 + y * (at["height"] - 2)),
                )
                page.mouse.click(*place)
                [action] = env.next()
                px, py = action["mouse"]["left_click"]
                assert abs(at["left"] + (px + 0.5) / WIDTH_PX * at["width"] - place[0]) <= 1
                assert abs(at["top"] + (py + 0.5) / HEIGHT_PX * at["height"] - place[1]) <= 1
                assert 0 <= px < WIDTH_PX
                assert 0 <= py < HEIGHT_PX
        page.get_by_role("button", name="1:1").click()
        page.locator(".stage").evaluate("stage => { stage.scrollLeft = 500; }")
        at = frame(page)
        page.mouse.click(at["left"] + 600, at["top"] + 40)
        assert env.next() == [{"mouse": {"left_click": [600, 40]}}]


def test_every_way_to_use_mouse_and_keys_is_an_action(fleet: Fleet, desk: Watched) -> None:
    with driven(fleet) as env:
        page = drive(desk, env.env_id)
        page.set_viewport_size({"width": 1600, "height": 1200})
        page.get_by_role("button", name="1:1").click()
        left, top = corner(page)

        def used() -> dict[str, Any]:
            [action] = env.next()
            mouse: dict[str, Any] = action["mouse"]
            return mouse

        page.mouse.dblclick(left + 50, top + 60)
        assert used() == {"double_click": [50, 60]}
        page.mouse.click(left + 50, top + 60, button="right")
        assert used() == {"right_click": [50, 60]}
        page.mouse.move(left + 10, top + 20)
        page.mouse.down()
        page.mouse.move(left + 110, top + 220)
        page.mouse.up()
        assert used() == {"left_click_drag": [[10, 20], [110, 220]]}
        page.mouse.wheel(0, 300)
        assert used() == {"move": [110, 220], "scroll": 3}
        page.keyboard.down("Control")
        page.mouse.click(left + 5, top + 6)
        page.keyboard.up("Control")
        assert used() == {"left_click": [5, 6], "held": ["ctrl"]}
        page.get_by_label("A click is a").select_option("move")
        left, top = corner(page)
        page.mouse.click(left + 7, top + 8)
        assert used() == {"move": [7, 8]}

        page.keyboard.type("echo a b")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        typed: list[dict[str, Any]] = [{"text": "echo a b"}, {"keys": ["left"]}, {"keys": ["enter"]}]
        assert [action["keyboard"] for action in env.next()] == typed
        page.keyboard.insert_text("日本\nné")  # as a composed or a pasted text comes
        page.keyboard.press("Enter")
        assert env.next() == [{"keyboard": {"text": "日本\nné\n"}}]
        page.keyboard.press("Control+c")
        assert env.next() == [{"keyboard": {"keys": ["ctrl", "c"]}}]
        page.keyboard.press("Shift+Tab")
        assert env.next() == [{"keyboard": {"keys": ["shift", "tab"]}}]
        capture = page.get_by_label(re.compile("Keys for the environment"))
        expect(capture).to_be_focused()
        page.keyboard.press("Escape")
        expect(capture).not_to_be_focused()

        page.get_by_label("Text", exact=True).fill("by a field")
        page.get_by_role("button", name="Type", exact=True).click()
        assert env.next() == [{"keyboard": {"text": "by a field"}}]
        page.get_by_role("button", name="Press Esc").click()
        assert env.next() == [{"keyboard": {"keys": ["esc"]}}]
        page.get_by_role("button", name="Wait 1 s").click()
        assert env.next() == [{"action": "wait", "time": 1}]


def test_a_click_before_keys_comes_before_them(fleet: Fleet, desk: Watched) -> None:
    with driven(fleet) as env:
        page = drive(desk, env.env_id)
        page.locator(".stage-frame").click()
        page.keyboard.type("ls\n")
        assert [next(iter(action)) for action in (*env.next(), *env.next())] == ["mouse", "keyboard"]


def test_a_refused_input_is_told_until_the_next_one_is_carried_out(fleet: Fleet, desk: Watched) -> None:
    with driven(fleet) as env:
        page = drive(desk, env.env_id)
        chord = page.get_by_label("Key or chord")
        chord.fill("hyper+x")
        chord.press("Enter")
        expect(page.get_by_role("alert").filter(has_text="Not carried out")).to_contain_text("hyper")
        page.get_by_role("button", name="Press Enter").click()
        expect(page.get_by_text("Not carried out")).to_have_count(0)


def test_the_page_says_when_nobody_waits_and_when_the_environment_has_gone(
    fleet: Fleet, desk: Watched
) -> None:
    with Door(fleet.url, TOKEN).terminal() as alone:
        page = desk.open("environment", env=alone.env_id)
        page.get_by_role("button", name="Drive").click()
        expect(page.get_by_text(re.compile("Nobody waits for input here"))).to_be_visible()
        expect(page.get_by_role("button", name="Done")).to_be_disabled()
    with driven(fleet) as env:
        page = drive(desk, env.env_id)
    expect(page.get_by_text("This environment has closed.")).to_be_visible()
    expect(page.get_by_role("button", name="Done")).to_have_count(0)


def test_driving_keeps_nobody_out_in_the_dark_and_fits_a_phone(fleet: Fleet, desk: Watched) -> None:
    with driven(fleet) as env:
        desk.page.emulate_media(color_scheme="dark")
        page = drive(desk, env.env_id)
        assert find_barriers(page) == []
        page.set_viewport_size(PHONE)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_an_agent_that_waits_goes_on_with_a_master_that_was_killed(fleet: Fleet, desk: Watched) -> None:
    with driven(fleet) as env:
        page = drive(desk, env.env_id)
        fleet.kill_master()
        fleet.restart_master()
        expect(page.get_by_text(YOUR_TURN)).to_be_visible()
        page.locator(".stage-frame").click()
        assert "mouse" in env.next()[0]


def test_a_worker_keeps_no_input(fleet: Fleet) -> None:
    agent = HumanAgent(HumanOptions())
    agent.located(EnvPlace("e1", fleet.worker_urls[0]))
    try:
        with pytest.raises(AgentFailed, match="give a master's URL"):
            agent.act({}, step=0)
    finally:
        agent.close()
