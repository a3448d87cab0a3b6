from __future__ import annotations

import json

import pytest

from gym_queue.client.choice import choose, judge_variables
from gym_queue.errors import SpecInvalid, SpecNotFound
from gym_queue.specs.loader import parse_env, parse_task

ENV = {"id": "e", "runner": "docker", "observation": [{"type": "rgb_screen"}], "action": [{"type": "mouse"}]}
TASK = {"id": "t", "description": "Do it.", "x_unknown": 1}
VARIABLES = {
    "HOME": "/root",
    "VLM_MODEL": "m",
    "GYM_ANYTHING_VLM_CHECKLIST_MAX_FRAMES": "8",
    "GYM_ANYTHING_VERIFIER_MODE": "vlm_checklist",
    "GYM_ANYTHING_TOKEN": "secret",
    "OPENAI_API_KEY": "o",
    "ANTHROPIC_API_KEY": "a",
}


@pytest.fixture
def env_dir(tmp_path):
    folder = tmp_path / "my_env"
    (folder / "tasks" / "t").mkdir(parents=True)
    (folder / "env.json").write_text(json.dumps(ENV))
    (folder / "tasks" / "t" / "task.json").write_text(json.dumps(TASK))
    return folder


def test_a_local_folder_is_sent_as_its_absolute_path_and_read(env_dir, monkeypatch):
    monkeypatch.chdir(env_dir.parent)
    choice = choose(env_dir="my_env", task_id="t")
    assert choice.fields == {"env_dir": str(env_dir), "task_id": "t"}
    assert choice.task_spec is not None
    assert choice.task_spec.description == "Do it."
    assert choice.runner(None) == "docker"


def test_a_shipped_name_is_sent_as_it_is_and_read():
    choice = choose(env_dir="terminal_env", task_id="top_ip")
    assert choice.fields["env_dir"] == "terminal_env"
    assert choice.runner(None) == "local"
    assert choice.runner("fake") == "fake"


def test_a_folder_only_the_worker_has_is_sent_as_it_is():
    choice = choose(env_dir="/only/there/env", task_id="t")
    assert choice.fields["env_dir"] == "/only/there/env"
    assert (choice.env_spec, choice.task_spec, choice.runner(None)) == (None, None, None)


def test_a_local_folder_that_is_wrong_is_an_error_here_and_now(env_dir, tmp_path):
    with pytest.raises(SpecNotFound, match="no task 'missing'"):
        choose(env_dir=env_dir, task_id="missing")
    with pytest.raises(SpecNotFound, match=r"env\.json"):
        choose(env_dir=tmp_path)
    (env_dir / "env.json").write_text("{")
    with pytest.raises(SpecInvalid, match=r"env\.json:1"):
        choose(env_dir=env_dir)


def test_specs_come_as_dicts_files_or_specs(env_dir):
    from_file = choose(env_spec=env_dir / "env.json", task_spec=str(env_dir / "tasks" / "t" / "task.json"))
    assert from_file.fields == {"env_spec": ENV, "task_spec": TASK}
    from_dicts = choose(env_spec=ENV, task_spec=TASK)
    from_specs = choose(env_spec=parse_env(ENV, where=""), task_spec=parse_task(TASK, where=""))
    assert from_file == from_dicts
    assert from_specs.fields == from_dicts.fields
    assert from_dicts.env_spec == from_specs.env_spec


def test_a_spec_that_is_wrong_is_an_error_before_anything_is_sent():
    with pytest.raises(SpecInvalid, match="env_spec"):
        choose(env_spec={"id": "e"})


def test_a_preset_that_leaves_one_runner_names_it():
    spec = {**ENV, "runner": None, "base": "apptainer-xfce-gpu"}
    assert choose(env_spec=spec).runner(None) == "apptainer"
    assert choose(env_spec={**spec, "base": "android-avd-34"}).runner(None) is None


def test_a_benchmark_is_read_where_this_machine_has_it(env_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert choose(benchmark="b", env_name="my_env", task_id="t").env_spec is None
    target = tmp_path / "benchmarks" / "b" / "environments"
    target.mkdir(parents=True)
    env_dir.rename(target / "my_env")
    choice = choose(benchmark="b", env_name="my_env", task_id="t")
    assert choice.fields == {"benchmark": "b", "env_name": "my_env", "task_id": "t"}
    assert choice.runner(None) == "docker"


def judged_by(mode, **spec):
    return parse_task({**TASK, "success": {"mode": mode, "spec": spec}}, where="")


@pytest.mark.parametrize("task", [None, parse_task(TASK, where=""), judged_by("program"), judged_by("multi")])
def test_no_variable_leaves_this_machine_unless_a_model_judges(task):
    assert judge_variables(task, VARIABLES) == {}


@pytest.mark.parametrize("task", [judged_by("vlm_checklist"), judged_by("multi", vlm_checklist={})])
def test_a_judging_model_gets_its_variables_and_no_others(task):
    sent = judge_variables(task, VARIABLES)
    assert set(sent) == set(VARIABLES) - {"HOME", "GYM_ANYTHING_TOKEN"}


def test_only_the_key_of_the_named_backend_is_sent():
    sent = judge_variables(judged_by("vlm_checklist"), {**VARIABLES, "VLM_BACKEND": "anthropic"})
    assert sent["ANTHROPIC_API_KEY"] == "a"
    assert "OPENAI_API_KEY" not in sent
