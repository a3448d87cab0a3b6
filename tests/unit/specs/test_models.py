from __future__ import annotations

import contextlib

import pytest
from pydantic import ValidationError

from gym_queue.errors import SpecInvalid
from gym_queue.names import RUNNERS
from gym_queue.specs.env import DEFAULT_RESOLUTION, EnvSpec
from gym_queue.specs.loader import parse_env, parse_task
from gym_queue.specs.task import TaskSpec
from tests.unit.specs.conftest import ENV, TASK


def env(**changes: object) -> EnvSpec:
    return parse_env({**ENV, **changes}, where="env.json")


def test_null_means_that_the_key_was_not_written() -> None:
    spec = env(image=None, hooks=None, resources={"gpu": None}, default_cache_level=None, category=None)
    assert (spec.image, spec.hooks.pre_start, spec.resources.gpu) == (None, (), 0)
    assert (spec.default_cache_level, spec.category) == ("pre_start", ())


def test_unknown_keys_are_kept_at_every_level() -> None:
    spec = env(base_qcow2="a.qcow2", security={"future": [1]})
    assert spec.model_extra == {"base_qcow2": "a.qcow2"}
    assert spec.security.model_extra == {"future": [1]}


def test_numbers_are_taken_in_either_form() -> None:
    spec = env(version=1.0, step_cycle_ms=200.0, resources={"cpu": 2, "mem_gb": 0.5, "gpu": 1.0})
    assert (spec.version, spec.step_cycle_ms, spec.resources.gpu) == ("1.0", 200, 1)


@pytest.mark.parametrize(
    ("written", "read"), [("a.sh", ("a.sh",)), (["a", "b"], ("a", "b")), (None, ()), ("", ())]
)
def test_hooks_are_tuples_however_they_are_written(written: object, read: tuple[str, ...]) -> None:
    assert env(hooks={"reset": written}).hooks.reset == read


def test_specs_are_frozen() -> None:
    with pytest.raises(ValidationError):
        env().id = "other"  # type: ignore[misc]


def test_resolution_is_that_of_the_first_screen_that_names_one() -> None:
    screens = [
        {"type": "cli_stdout"},
        {"type": "rgb_screen"},
        {"type": "rgb_screen", "resolution": [640, 480]},
    ]
    assert env(observation=screens).resolution == (640, 480)
    assert env(observation=screens[:2]).resolution == DEFAULT_RESOLUTION
    assert env(observation=screens[:2]).observation_types == {"cli_stdout", "rgb_screen"}


def test_a_spec_without_screen_has_none() -> None:
    assert env(observation=[{"type": "cli_stdout"}]).screen is None


def test_the_spec_s_runner_wins_over_the_preset_s_and_the_call_s_over_both() -> None:
    spec = env(base="windows-11", runner="qemu")
    assert spec.acceptable_runners() == {"qemu"}
    assert spec.acceptable_runners("docker") == {"docker"}
    assert env().acceptable_runners() == frozenset()
    assert set(RUNNERS) >= env(base="windows-11").acceptable_runners()


def test_a_password_is_not_in_the_repr() -> None:
    spec = env(user_accounts=[{"name": "ga", "password": "hunter2"}], vnc={"password": "hunter2"})
    assert "hunter2" not in repr(spec)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"observation": []}, "observation"),
        ({"action": [{}]}, "action.0.type"),
        ({"observation": [{"type": "rgb_screen", "resolution": [0, 5]}]}, "observation.0.resolution.0"),
        ({"mounts": [{"source": "", "target": "/a"}]}, "mounts.0.source"),
        ({"id": None}, "id"),
    ],
)
def test_an_error_names_the_key(changes: dict[str, object], key: str) -> None:
    with pytest.raises(SpecInvalid, match=f"^env.json: {key}: ") as caught:
        env(**changes)
    assert "\n" not in str(caught.value)


def test_an_error_counts_the_others() -> None:
    with pytest.raises(SpecInvalid, match=r"\(and 1 more\)$"):
        parse_env({"id": "a"}, where="env.json")


def test_a_task_has_the_format_s_defaults() -> None:
    task = parse_task({"id": "a"}, where="task.json")
    assert (task.init.timeout_sec, task.init.max_steps, task.init.reward_type) == (600, 2000, "sparse")
    assert (task.hooks.pre_task_timeout, task.success, task.metadata) == (600, None, {})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"success": {"mode": "guess"}}, "success.mode"),
        ({"init": {"reward_type": "lottery"}}, "init.reward_type"),
        ({"init": {"max_steps": 0}}, "init.max_steps"),
    ],
)
def test_a_task_s_error_names_the_key(changes: dict[str, object], key: str) -> None:
    with pytest.raises(SpecInvalid, match=f"^task.json: {key}: "):
        parse_task({**TASK, **changes}, where="task.json")


@pytest.mark.parametrize(
    "value", [None, True, 0, -1, float("nan"), 10**30, "", "text", [], [None], {}, {"a": [1]}]
)
def test_whatever_a_value_is_a_spec_loads_or_is_invalid(value: object) -> None:
    for key in EnvSpec.model_fields:
        with contextlib.suppress(SpecInvalid):
            env(**{key: value})
    for key in TaskSpec.model_fields:
        with contextlib.suppress(SpecInvalid):
            parse_task({**TASK, key: value}, where="task.json")


def test_what_a_yaml_file_may_hold_beyond_json_loads_or_is_invalid() -> None:
    loop: dict[str, object] = {}
    loop["loop"] = loop
    for raw in ({True: 1}, {"metadata": {1: 2}}, {"metadata": loop}, loop, {"name": "\ud800"}):
        with contextlib.suppress(SpecInvalid):
            parse_task({"id": "a", **raw}, where="task.yaml")  # type: ignore[dict-item]
