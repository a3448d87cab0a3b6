"""What every runner must do, whatever it runs; parametrised over the runners that this machine can run."""

from __future__ import annotations

import io
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from gym_queue.errors import EnvTimeout, Forbidden, PathNotFound, RunnerFailed
from gym_queue.names import RUNNERS
from gym_queue.protocol.actions import parse_actions
from gym_queue.runners.base import Runner, RunnerSetup
from gym_queue.runners.processes import find_processes
from gym_queue.runners.registry import implemented_runners, open_runner
from gym_queue.specs.env import EnvSpec

Start = Callable[..., Runner]
FOREVER = str(1_000_000 + os.getpid())
"""Seconds that sleeps of this test run alone last."""
SPEC = EnvSpec.model_validate(
    {
        "id": "conformance",
        "observation": [{"type": "rgb_screen", "resolution": [640, 400]}, {"type": "cli_stdout"}],
        "action": [{"type": "keyboard"}, {"type": "mouse"}],
    }
)


@pytest.fixture(params=implemented_runners())
def runner_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start(runner_name: str, tmp_path: Path) -> Iterator[Start]:
    opened: list[Runner] = []

    def open_and_start(seed: int = 1, env_id: str | None = None) -> Runner:
        work_dir = tmp_path / f"work{len(opened)}"
        work_dir.mkdir()
        env_id = env_id or str(uuid.uuid4())
        opened.append(open_runner(runner_name, RunnerSetup(env_id, SPEC, None, work_dir, seed)))
        opened[-1].start()
        return opened[-1]

    yield open_and_start
    for runner in opened:
        runner.close()


@pytest.fixture
def runner(start: Start) -> Runner:
    return start()


def act(runner: Runner, *actions: dict[str, object]) -> None:
    for action in parse_actions(actions):
        runner.act(action)
    runner.settle(max_s=10)


def test_it_says_its_name(runner: Runner, runner_name: str) -> None:
    assert runner.info().runner_name == RUNNERS[runner_name]


def test_a_screenshot_is_a_png_of_the_specs_resolution(runner: Runner) -> None:
    seen = runner.observe()
    image = Image.open(io.BytesIO(seen.png or b""))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", seen.resolution)
    assert seen.resolution == SPEC.resolution


def test_the_screenshot_after_an_action_is_a_new_one(runner: Runner) -> None:
    before = runner.observe().png
    act(runner, {"keyboard": {"text": "x"}})
    assert runner.observe().png != before


def test_mouse_and_keyboard_actions_are_taken(runner: Runner) -> None:
    act(
        runner,
        {"mouse": {"left_click": [10, 10]}},
        {"mouse": {"scroll": 3}},
        {"keyboard": {"keys": "esc"}},
    )


def test_one_seed_and_script_give_the_same_screens(start: Start) -> None:
    script: dict[str, object] = {"keyboard": {"text": "echo $RANDOM\n"}}
    frames = []
    for seed in (5, 5, 6):
        runner = start(seed)
        act(runner, script)
        frames.append(runner.observe())
    assert frames[0] == frames[1]
    assert frames[0].png != frames[2].png


@pytest.mark.parametrize(("command", "status"), [("true", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_exec_returns_the_exit_status(runner: Runner, command: str, status: int) -> None:
    assert runner.exec(command, timeout_s=20).exit_status == status


def test_exec_returns_both_outputs_in_order_and_reads_no_input(runner: Runner) -> None:
    assert runner.exec("echo a; echo b >&2; cat; echo c", timeout_s=20).output == "a\nb\nc\n"


def test_exec_runs_in_the_home_folder_marked_with_the_env_and_without_our_variables(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GYM_ANYTHING_TOKEN", "secret")
    runner = start(env_id="the-env")
    output = runner.exec('[ "$PWD" = "$HOME" ] && echo home; env', timeout_s=20).output
    assert output.startswith("home\n")
    assert "GYM_ENV_ID=the-env\n" in output
    assert "secret" not in output


def test_exec_past_its_deadline_is_killed_with_its_children(start: Start) -> None:
    runner = start(env_id="deadline")
    with pytest.raises(EnvTimeout, match=r"0\.3 s"):
        runner.exec(f"(sleep {FOREVER} &) ; sleep {FOREVER}", timeout_s=0.3)
    assert not [each for each in find_processes("deadline") if FOREVER in each.cmdline()]


def test_exec_does_not_wait_for_a_background_child_that_holds_its_output(runner: Runner) -> None:
    assert runner.exec(f"echo before; sleep {FOREVER} & exit 3", timeout_s=60).exit_status == 3


def test_exec_keeps_the_tail_of_a_huge_output(runner: Runner) -> None:
    output = runner.exec("head -c 5000000 /dev/zero | tr '\\0' x; echo end", timeout_s=60).output
    assert output.endswith("xend\n")
    assert len(output) < 1_100_000
    assert "dropped" in output[:100]


def test_a_file_is_copied_in_and_out(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\0bytes")
    runner.copy_to(tmp_path / "in", "new/folder/file")
    assert runner.exec("wc -c < ~/new/folder/file", timeout_s=20).output.strip() == "6"
    runner.copy_from("~/new/folder/file", tmp_path / "other" / "out")
    assert (tmp_path / "other" / "out").read_bytes() == b"\0bytes"


def test_a_folder_is_copied_in_and_out(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    script = tmp_path / "tree" / "sub" / "run.sh"
    script.write_text("echo ran")
    script.chmod(0o755)
    runner.copy_to(tmp_path / "tree", "tree")
    assert runner.exec("tree/sub/run.sh", timeout_s=20).output == "ran\n"
    runner.copy_from("tree", tmp_path / "back")
    assert (tmp_path / "back" / "sub" / "run.sh").read_text() == "echo ran"


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "~/../c", "link/file", "link"])
def test_a_path_outside_the_sandbox_is_refused(runner: Runner, tmp_path: Path, path: str) -> None:
    runner.exec(f"ln -s {tmp_path} link", timeout_s=20)
    (tmp_path / "file").write_text("host's")
    with pytest.raises(Forbidden, match="outside"):
        runner.copy_to(tmp_path / "file", path)
    with pytest.raises(Forbidden, match="outside"):
        runner.copy_from(path, tmp_path / "stolen")


def test_a_folder_that_holds_a_link_out_is_refused(runner: Runner, tmp_path: Path) -> None:
    runner.exec("mkdir tree && ln -s /etc tree/link", timeout_s=20)
    with pytest.raises(Forbidden, match="outside"):
        runner.copy_from("tree", tmp_path / "stolen")


def test_what_does_not_exist_cannot_be_copied(runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(PathNotFound):
        runner.copy_to(tmp_path / "nothing", "x")
    with pytest.raises(PathNotFound):
        runner.copy_from("nothing", tmp_path / "x")


def test_close_leaves_no_process_and_no_file(start: Start, tmp_path: Path) -> None:
    runner = start(env_id="closing")
    runner.exec(
        f"setsid -f sleep {FOREVER}; nohup sleep {FOREVER} & mkdir -p a/b; touch a/b/c; chmod 0 a/b a",
        timeout_s=20,
    )
    act(runner, {"keyboard": {"text": f"(setsid sleep {FOREVER} &); env -i sleep {FOREVER} &\n"}})
    assert find_processes("closing")
    runner.close()
    assert find_processes("closing") == []
    assert not [each for each in psutil.process_iter(["cmdline"]) if FOREVER in (each.info["cmdline"] or ())]
    assert list((tmp_path / "work0").iterdir()) == []


def test_closing_twice_is_fine_and_what_comes_after_fails(runner: Runner) -> None:
    runner.close()
    runner.close()
    with pytest.raises(RunnerFailed, match="closed"):
        runner.observe()
    with pytest.raises(RunnerFailed, match="closed"):
        runner.exec("true", timeout_s=20)
    with pytest.raises(RunnerFailed, match="closed"):
        act(runner, {"keyboard": {"text": "x"}})


def test_a_runner_that_never_started_can_be_closed(runner_name: str, tmp_path: Path) -> None:
    open_runner(runner_name, RunnerSetup("never", SPEC, None, tmp_path)).close()


def test_close_ends_an_exec_of_another_thread(runner: Runner) -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            runner.exec(f"touch started; sleep {FOREVER}", timeout_s=60)
        except RunnerFailed as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    runner.exec("until [ -e started ]; do :; done", timeout_s=20)
    runner.close()
    thread.join(timeout=20)
    assert "closed" in str(raised[0])


def test_two_at_once_do_not_meet(start: Start) -> None:
    first, second = start(), start()
    first.exec("echo one > file", timeout_s=20)
    assert second.exec("ls", timeout_s=20).output == ""
    second.close()
    assert first.exec("cat file", timeout_s=20).output == "one\n"
