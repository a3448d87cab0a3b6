"""The output folder: what is in it, and going on with a run."""

from __future__ import annotations

import json
import logging
import os
import resource

import pytest

from gym_queue.benchmark.agents.base import AgentTurn
from gym_queue.benchmark.attempt import Outcome
from gym_queue.benchmark.output import open_folder, read_attempts, read_run
from gym_queue.benchmark.recorder import FolderRecorder, Frames
from gym_queue.benchmark.report.write import write_report
from gym_queue.benchmark.results import NOT_JUDGED, Results, exit_code
from gym_queue.errors import OutputFailed, PathNotFound, RequestInvalid

from .runs import CLICK, CRASH, LOST, attempt, info, play, png, write


def names(path):
    return sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_leaves_the_documented_files(bench, terminal, tmp_path):
    bench(terminal, task="right", output=tmp_path)
    own = "attempts/terminal/right/0"
    files = {name for name in names(tmp_path) if not name.startswith("terminal/")}
    frames = {f"{own}/frames/frame_{index:05d}.png" for index in range(3)}
    assert files == frames | {
        *(f"{own}/trajectory.jsonl", f"{own}/verdict.json"),
        *("run.json", "attempts.jsonl", "results.json", "report.json", "report.html"),
    }
    verdict = json.loads((tmp_path / own / "verdict.json").read_text())
    assert (verdict["outcome"], verdict["verifier"]["passed"]) == ("passed", True)
    assert [line["event"] for line in lines(tmp_path / own / "trajectory.jsonl")] == ["reset", "step", "step"]
    assert read_run(tmp_path).tasks[0].task_id == "right"


def test_a_frame_is_the_png_that_the_agent_saw_and_stands_before_its_step(tmp_path):
    own = play(write(tmp_path / "r", []), "a", [AgentTurn([CLICK], note="go"), AgentTurn(done=True)])
    assert (own / "frames" / "frame_00000.png").read_bytes() == png()
    reset, first, last = lines(own / "trajectory.jsonl")
    assert (reset["frame"], first["frame"]) == ("frames/frame_00000.png", "frames/frame_00001.png")
    assert (first["actions"], first["note"], first["done"], last["done"]) == ([CLICK], "go", False, True)


@pytest.mark.parametrize(("frames", "kept"), [(Frames.LAST, ["frame_00002.png"]), (Frames.NONE, [])])
def test_only_the_frames_asked_for_are_kept(tmp_path, frames, kept):
    own = play(write(tmp_path / "r", []), "a", [AgentTurn(), AgentTurn()], frames)
    assert names(own / "frames") == kept


def test_what_the_agent_logs_is_in_its_log(tmp_path):
    with FolderRecorder(tmp_path / "own", Frames.NONE):
        logging.getLogger("agents").warning("slow model")
    logging.getLogger("agents").warning("too late")
    said = (tmp_path / "own/agent.log").read_text()
    assert "agents: slow model" in said
    assert "late" not in said


def test_repeats_run_each_task_with_seeds_one_apart(bench, pair, tmp_path):
    results = bench(pair, output=tmp_path / "r", repeat=2, seed=5, parallel=2)
    assert [(each.task_id, each.repeat, each.seed) for each in results.attempts] == [
        *(("right", 0, 5), ("right", 1, 6), ("wrong", 0, 5), ("wrong", 1, 6)),
    ]
    assert len(read_attempts(tmp_path / "r")) == 4
    assert "right #2" in bench.printed.getvalue()


def test_resuming_runs_what_is_missing_and_what_was_lost_alone(bench, pair, tmp_path):
    bench(pair, output=tmp_path / "r")
    path = tmp_path / "r" / "attempts.jsonl"
    first, second = path.read_text().splitlines()
    lost = attempt("wrong", "error", error=LOST).model_dump_json()
    path.write_text(f"{first}\n{lost}\n{second[:30]}")  # killed while it wrote
    results = bench(pair, output=tmp_path / "r", resume=True)
    assert [each.outcome.value for each in results.attempts] == ["passed", "failed"]
    written = [json.loads(line)["task_id"] for line in path.read_text().splitlines()]
    assert written == ["right", "wrong", "wrong"]
    assert bench.progress.getvalue().count("[1/1] wrong") == 1


def test_an_interrupted_run_says_how_to_go_on_and_keeps_no_half_attempt(bench, terminal, plugins, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        bench(terminal, "interrupting", agent_args={"pid": os.getpid()}, output=tmp_path / "r")
    assert "0 attempts are kept, 2 are missing" in bench.printed.getvalue()
    assert "same command again with --resume" in bench.printed.getvalue()
    assert read_attempts(tmp_path / "r") == {}
    assert json.loads((tmp_path / "r/report.json").read_text())["missing"] == 2


def test_a_folder_of_another_run_is_refused_with_what_differs(bench, pair, tmp_path):
    bench(pair, output=tmp_path / "r")
    with pytest.raises(RequestInvalid, match="holds a run already: add --resume"):
        bench(pair, output=tmp_path / "r")
    with pytest.raises(
        RequestInvalid, match=r"is of another run: its seed is 0, not 3; give that run's flags"
    ):
        bench(pair, output=tmp_path / "r", seed=3, resume=True, parallel=3)
    pair.write("splits.json", {"half": ["right"]})
    with pytest.raises(RequestInvalid, match=r"its split is null, not .*; give"):
        bench(pair, output=tmp_path / "r", split="half", resume=True)


def test_an_old_folder_with_results_alone_is_read(bench, pair, tmp_path):
    done = bench(pair).model_dump(mode="json", exclude={"attempts": {"__all__": {"repeat", "env", "seed"}}})
    (tmp_path / "r").mkdir()
    (tmp_path / "r/results.json").write_text(json.dumps(done))
    report = write_report(tmp_path / "r")
    assert (report.total.passed, report.total.scored, report.missing) == (1, 2, 0)
    again = bench(pair, output=tmp_path / "r", resume=True)
    assert [each.task_id for each in again.attempts] == ["right", "wrong"]
    assert bench.progress.getvalue().count("[1/2] right") == 1


def test_resuming_nothing_starts_and_resuming_a_file_is_refused(bench, pair, tmp_path):
    assert len(bench(pair, output=tmp_path / "r", resume=True).attempts) == 2
    for output in (None, tmp_path / "r.json"):
        with pytest.raises(RequestInvalid, match="nothing to resume"):
            bench(pair, output=output, resume=True)


def test_a_full_disk_stops_the_run_with_one_sentence(bench, pair, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    bench(pair, task="right", output=tmp_path / "r")
    (tmp_path / "r/attempts.jsonl").write_text("")
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))  # as a full disk: writes come back short
    try:
        with pytest.raises(OutputFailed, match=r"cannot be written: .*with --resume"):
            bench(pair, task="right", output=tmp_path / "r", resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert bench(pair, task="right", output=tmp_path / "r", resume=True).tally.passed == 1


def test_a_line_that_is_no_attempt_is_named(tmp_path):
    write(tmp_path / "r", [attempt("a")])
    with (tmp_path / "r/attempts.jsonl").open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(RequestInvalid, match=r"line 2 of .*attempts.jsonl is not an attempt"):
        read_attempts(tmp_path / "r")


def test_a_folder_without_a_run_and_one_of_a_later_version_are_refused(tmp_path):
    with pytest.raises(PathNotFound, match="holds no run"):
        read_run(tmp_path / "nowhere")
    open_folder(tmp_path / "r", info(format=3, version="9.0"), resume=False).close()
    with pytest.raises(RequestInvalid, match=r"format 3, .* use gym-queue 9.0"):
        read_run(tmp_path / "r")


def test_the_exit_code_tells_infrastructure_from_tasks(bench, pair):
    results: Results = bench(pair, task="right")
    for error, code in [(CRASH, 1), (LOST, NOT_JUDGED)]:
        broken = attempt("right", "error", error=error)
        tally = results.tally.model_copy(update={"passed": 0, "errors": 1})
        assert exit_code(results.model_copy(update={"attempts": (broken,), "tally": tally})) == code


def test_what_an_agent_says_it_used_is_kept(bench, folder, plugins):
    folder.add_task("a")
    (done,) = bench(folder, "counting", steps=1).attempts
    assert done.outcome is Outcome.FAILED
    assert done.usage == {"input_tokens": 7, "cost_usd": 0.5}


def test_a_folder_is_written_by_one_program_at_a_time(tmp_path):
    first = open_folder(tmp_path / "r", info(), resume=False)
    with pytest.raises(RequestInvalid, match="another program writes to"):
        open_folder(tmp_path / "r", info(), resume=True)
    first.close()
    open_folder(tmp_path / "r", info(), resume=True).close()
