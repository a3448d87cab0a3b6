"""What the flags of a run come to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from gym_queue.benchmark.agents.registry import find_agent
from gym_queue.benchmark.attempt import Key
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.messages import Job
from gym_queue.benchmark.opener import judge_env
from gym_queue.cli.main import app
from gym_queue.errors import RequestInvalid

from .conftest import Folder


def config(**fields: Any) -> BenchmarkConfig:
    return BenchmarkConfig(env="small", **{"agent": "plain", **fields})


def test_model_and_temperature_are_options_of_the_agent_given_once():
    assert config(model="m", temperature=0.5).all_agent_args() == {"model": "m", "temperature": 0.5}
    with pytest.raises(RequestInvalid, match="model is given twice: give --model alone"):
        config(model="m", agent_args={"model": "n"}).all_agent_args()


def test_an_agent_without_a_model_says_so():
    asked = config(agent="ScriptedAgent", model="m")
    with pytest.raises(RequestInvalid, match="agent ScriptedAgent has no option 'model'; its options are"):
        find_agent(asked.agent, asked.all_agent_args())


def test_the_flags_of_the_judge_are_variables_of_each_verifier_and_bring_its_key(folder):
    folder.add_task("a")
    job = Job(Key("small", "a"), folder.path, "small", "e1")
    environ = {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "other", "VLM_MODEL": "m", "HOME": "/"}
    assert judge_env(job, config(), environ) == {}
    asked = config(verifier_mode="vlm_checklist", vlm_checklist={"backend": "anthropic", "max_frames": 5})
    assert judge_env(job, asked, environ) == {
        "GYM_ANYTHING_VERIFIER_MODE": "vlm_checklist",
        "GYM_ANYTHING_VLM_CHECKLIST_BACKEND": "anthropic",
        "GYM_ANYTHING_VLM_CHECKLIST_MAX_FRAMES": "5",
        "ANTHROPIC_API_KEY": "k",
        "VLM_MODEL": "m",
    }


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["no_such_env"], "no environment 'no_such_env'"),
        (["terminal_env", "--corpus", "/nowhere"], "/nowhere is not a folder"),
        (["terminal_env", "--model", "m"], "has no option 'model'"),
        (["terminal_env", "--agent", "Nobody"], "there is no agent 'Nobody'"),
        (["terminal_env", "--verifier-mode", "odd"], "verifier_mode"),
        (["terminal_env", "--cache-level", "odd"], "cache_level"),
        (["terminal_env", "--vlm-checklist-base-url", "odd"], "vlm_checklist"),
        (["terminal_env", "--exp-name", "../up"], "exp_name"),
    ],
)
def test_a_flag_that_means_nothing_is_one_sentence(flags, said):
    ran = CliRunner().invoke(app, ["benchmark", *flags])
    assert ran.exit_code == 2
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_run_that_has_a_name_goes_to_its_folder(bench, pair, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    bench(pair, task="right", exp_name="first")
    run = json.loads((tmp_path / "runs/first/run.json").read_text())
    assert (run["config"]["exp_name"], run["format"]) == ("first", 1)


def test_a_run_of_several_environments_has_one_folder_and_one_report(bench, pair, tmp_path):
    other = Folder(tmp_path / "other")
    other.add_task("right", solution={"steps": []})
    results = bench(str(tmp_path), output=tmp_path / "out" / "r", parallel=2)
    assert [(each.env, each.task_id, each.outcome.value) for each in results.attempts] == [
        *(("other", "right", "failed"), ("small", "right", "passed"), ("small", "wrong", "failed"))
    ]
    report = json.loads((tmp_path / "out/r/report.json").read_text())
    assert [(rate["name"], rate["passed"], rate["scored"]) for rate in report["by_env"]] == [
        *(("other", 0, 1), ("small", 1, 2))
    ]
    failed = sorted(key for group in report["failures"] for key in group["keys"])
    assert failed == [["other", "right", 0], ["small", "wrong", 0]]
    assert report["run"]["format"] == 2
    assert "environment" in bench.printed.getvalue()
    assert (tmp_path / "out/r/attempts/other/right/0/verdict.json").is_file()
    again = bench(str(tmp_path), output=tmp_path / "out" / "r", resume=True)
    assert again.attempts == results.attempts
