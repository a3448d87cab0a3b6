from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gym_queue.errors import NotSupported
from gym_queue.protocol.actions import parse_actions
from gym_queue.runners.base import RunnerSetup
from gym_queue.runners.local import LocalRunner
from gym_queue.runners.local.runner import open_local
from gym_queue.specs.env import EnvSpec

Open = Callable[..., LocalRunner]


def spec(**more: Any) -> EnvSpec:
    return EnvSpec.model_validate(
        {
            "id": "local",
            "observation": [{"type": "rgb_screen", "resolution": [800, 480]}, {"type": "cli_stdout"}],
            "action": [{"type": "keyboard"}],
            **more,
        }
    )


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Open]:
    opened: list[LocalRunner] = []

    def start(env_spec: EnvSpec | None = None, **variables: str) -> LocalRunner:
        setup = RunnerSetup(
            f"env-{tmp_path.name}", env_spec or spec(), tmp_path, tmp_path / "work", 1, variables
        )
        setup.work_dir.mkdir()
        runner = open_local(setup)
        assert isinstance(runner, LocalRunner)
        opened.append(runner)
        runner.start()
        return runner

    yield start
    for runner in opened:
        runner.close()


@pytest.fixture
def runner(make: Open) -> LocalRunner:
    return make()


def do(runner: LocalRunner, *actions: dict[str, Any]) -> str:
    for action in parse_actions(actions):
        runner.act(action)
        runner.settle(max_s=20)
    return runner.observe().cli_stdout or ""


def text(typed: str) -> dict[str, Any]:
    return {"keyboard": {"text": typed}}


def keys(*chord: str) -> dict[str, Any]:
    return {"keyboard": {"keys": list(chord)}}


def test_the_terminal_starts_at_its_prompt_on_its_own_tty_of_the_right_size(
    runner: LocalRunner,
) -> None:
    assert do(runner).rstrip("#$ ") == "~"
    assert "24 80" in do(runner, text("stty size < /dev/tty\n"))


def test_a_command_is_seen_finished_even_when_it_sleeps(runner: LocalRunner) -> None:
    assert "\nhi\n" in do(runner, text("sleep 0.3; echo hi\n"))


def test_a_program_that_reads_the_terminal_counts_as_settled(runner: LocalRunner) -> None:
    assert "name? joe\n" in do(runner, text("read -p 'name? ' x\n"), text("joe\n"))
    assert do(runner, text("cat\n"), text("abc\n")).count("abc") == 2


def test_ctrl_c_interrupts_the_foreground(runner: LocalRunner) -> None:
    runner.act(parse_actions([text("echo on; sleep 97531\n")])[0])
    while not do(runner).endswith("\non"):
        pass
    shown = do(runner, keys("ctrl", "c"), text("echo $?\n"))
    while "\n130\n" not in shown:  # a busy machine shows it later than a screen that stands still
        shown = do(runner)


def test_a_huge_text_is_typed_whole_without_deadlock(runner: LocalRunner) -> None:
    do(runner, text("cat > big\n"), text(("x" * 99 + "\n") * 900), keys("ctrl", "d"))
    assert runner.exec("wc -c < big", timeout_s=20).output.strip() == "90000"


def test_a_new_shell_follows_one_that_exits(runner: LocalRunner) -> None:
    seen = do(runner, text("exit 3\n"), text("echo again\n"))
    assert "[the shell exited with status 3; this is a new one]" in seen
    assert "\nagain\n" in seen


def test_variables_of_the_setup_are_inside_and_ours_are_not(
    make: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_SECRET", "leaked")
    seen = do(make(GREETING="hello"), text('echo "<$GREETING$SOME_SECRET>"\n'))
    assert "\n<hello>\n" in seen


def test_an_observation_holds_only_what_the_spec_asks_for(make: Open) -> None:
    runner = make(spec(observation=[{"type": "cli_stdout"}]))
    seen = runner.observe()
    assert (seen.png, seen.ui_tree) == (None, None)
    assert seen.cli_stdout is not None


def test_mounts_are_copied_below_the_home_folder(make: Open, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "a.txt").write_text("mounted")
    runner = make(spec(mounts=[{"source": str(tmp_path / "scripts"), "target": "~/scripts"}]))
    assert runner.exec("cat scripts/a.txt", timeout_s=20).output == "mounted"


def test_an_absolute_mount_target_is_not_supported(make: Open, tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="use a target relative"):
        make(spec(mounts=[{"source": str(tmp_path), "target": "/workspace"}]))


@pytest.mark.parametrize("key", ["image", "dockerfile"])
def test_a_spec_that_needs_an_image_is_not_supported(make: Open, key: str) -> None:
    with pytest.raises(NotSupported, match=key):
        make(spec(**{key: "ubuntu"}))


@pytest.mark.parametrize("action", [{"voice": {"pcm16_b64": ""}}, {"api_call": {"name": "x"}}])
def test_voice_and_api_calls_are_not_supported(runner: LocalRunner, action: dict[str, Any]) -> None:
    with pytest.raises(NotSupported):
        do(runner, action)


def test_the_wheel_scrolls_the_history_and_typing_returns_to_the_bottom(runner: LocalRunner) -> None:
    do(runner, text("seq 100\n"))
    seen = do(runner, {"mouse": {"scroll": -5}})
    assert "\n70\n" in seen
    assert "\n100\n" not in seen
    assert "\n100\n" in do(runner, text("x"))


@pytest.mark.needs("vi")
def test_vi_edits_a_file_and_gives_the_screen_back(runner: LocalRunner) -> None:
    assert "hello" in do(runner, text("vi note\n"), text("ihello"))
    assert "~\n~" not in do(runner, keys("esc"), text(":wq\n"))
    assert runner.exec("cat note", timeout_s=20).output == "hello\n"


@pytest.mark.needs("vim")
def test_a_click_moves_the_cursor_in_vim(runner: LocalRunner) -> None:
    runner.exec("seq 9 > note", timeout_s=20)
    do(runner, text("vim -u NONE -c 'set mouse=a ttymouse=sgr' note\n"), {"mouse": {"left_click": [5, 90]}})
    do(runner, text("dd:wq\n"))
    assert runner.exec("cat note | tr -d '\\n'", timeout_s=20).output == "12346789"


@pytest.mark.needs("vim")
def test_vims_questions_are_answered_so_that_none_is_taken_for_typing(runner: LocalRunner) -> None:
    seen = do(runner, text("vim -c 'set mouse=a' note\n"), {"mouse": {"left_click": [5, 90]}}, text("ix"))
    assert seen.startswith("x\n~\n")
    assert "-- INSERT --" in seen


@pytest.mark.needs("nano")
def test_nano_edits_a_file(runner: LocalRunner) -> None:
    do(runner, text("nano note\n"), text("one\ntwo"), keys("ctrl", "o"), keys("enter"), keys("ctrl", "x"))
    assert runner.exec("cat note", timeout_s=20).output == "one\ntwo\n"


@pytest.mark.needs("less")
def test_less_pages_with_the_wheel_and_keys(runner: LocalRunner) -> None:
    runner.exec("seq 200 > numbers", timeout_s=20)
    seen = do(runner, text("less numbers\n"), {"mouse": {"scroll": 1}})
    assert seen.startswith("4\n")
    assert do(runner, keys("end"), text("q")).rstrip("#$ ").endswith("~")


def test_descriptors_are_given_back(make: Open) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    make().close()
    assert len(list(Path("/dev/fd").iterdir())) == before
