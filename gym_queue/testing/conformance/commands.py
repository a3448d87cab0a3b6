"""Commands run apart from the terminal or desktop that the agent sees."""

from __future__ import annotations

import threading

import pytest

from gym_queue.errors import EnvTimeout, RunnerFailed
from gym_queue.runners.base import Runner
from gym_queue.testing.conformance.subject import EXEC_TIMEOUT_S, FOREVER, Cases, Start, Subject, output_of


class CommandCases(Cases):
    """exec, its deadline, its environment."""

    @pytest.mark.parametrize(("command", "status"), [("true", 0), ("exit 7", 7), ("kill -9 $$", 137)])
    def test_exec_returns_the_exit_status(self, runner: Runner, command: str, status: int) -> None:
        assert runner.exec(command, timeout_s=EXEC_TIMEOUT_S).exit_status == status

    def test_exec_returns_both_outputs_in_order_and_reads_no_input(self, runner: Runner) -> None:
        assert output_of(runner, "echo a; echo b >&2; cat; echo c") == "a\nb\nc\n"

    def test_exec_runs_a_command_of_any_text(self, runner: Runner) -> None:
        assert output_of(runner, "cat <<'END'\n'\"$x\" \\ é 漢 😀\nEND\n") == '\'"$x" \\ é 漢 😀\n'

    def test_exec_runs_in_the_home_folder_marked_with_the_env_and_without_our_variables(
        self, start: Start, env_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GYM_ANYTHING_TOKEN", "secret")
        runner = start(seed=42, env_id=env_id)
        output = output_of(runner, '[ "$PWD" = "$HOME" ] && echo home; env')
        assert output.startswith("home\n")
        assert f"GYM_ENV_ID={env_id}\n" in output
        assert "GYM_SEED=42\n" in output
        assert "secret" not in output

    def test_exec_past_its_deadline_is_killed_with_its_children(
        self, start: Start, subject: Subject, env_id: str
    ) -> None:
        runner = start(env_id=env_id)
        with pytest.raises(EnvTimeout, match=r"0\.5 s"):
            runner.exec(f"(sleep {FOREVER} &) ; sleep {FOREVER}", timeout_s=0.5)
        assert not [line for line in subject.find_processes(env_id) if FOREVER in line]
        assert output_of(runner, "echo still here") == "still here\n"

    def test_exec_does_not_wait_for_a_background_child_that_holds_its_output(self, runner: Runner) -> None:
        assert runner.exec(f"echo before; sleep {FOREVER} & exit 3", timeout_s=60).exit_status == 3

    def test_exec_keeps_the_tail_of_a_huge_output(self, runner: Runner) -> None:
        output = output_of(runner, "head -c 5000000 /dev/zero | tr '\\0' x; echo end")
        assert output.endswith("xend\n")
        assert len(output) < 1_100_000
        assert "dropped" in output[:100]

    def test_close_ends_an_exec_of_another_thread(self, runner: Runner) -> None:
        raised: list[BaseException] = []

        def run() -> None:
            try:
                runner.exec(f"touch started; sleep {FOREVER}", timeout_s=60)
            except RunnerFailed as error:
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        output_of(runner, "until [ -e started ]; do :; done")
        runner.close()
        thread.join(timeout=20)
        assert "closed" in str(raised[0])
