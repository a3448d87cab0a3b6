"""Whatever a spec file holds, it loads or is invalid, and in bounded time and memory."""

from __future__ import annotations

import codecs
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gym_queue.errors import SpecInvalid
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.files import MAX_BYTES, MAX_VALUES, read_mapping
from gym_queue.specs.loader import load_env, parse_env, parse_task
from gym_queue.specs.task import TaskSpec
from tests.unit.specs.conftest import ENV, TASK

UNTIMED = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**63, max_value=2**600)
    | st.floats()
    | st.text()
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def changed(base: dict[str, Any], model: type[EnvSpec | TaskSpec]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that have a sound file's keys, some with other values, and any further ones."""
    keys = st.sampled_from(sorted(model.model_fields)) | st.text()
    return st.dictionaries(keys, JSON, max_size=4).map(lambda extra: {**base, **extra})


@UNTIMED
@given(changed(ENV, EnvSpec) | st.dictionaries(st.text(), JSON))
def test_any_object_is_an_environment_or_invalid(raw: dict[str, Any]) -> None:
    with contextlib.suppress(SpecInvalid):
        assert parse_env(raw, where="env.json").id


@UNTIMED
@given(changed(TASK, TaskSpec) | st.dictionaries(st.text(), JSON))
def test_any_object_is_a_task_or_invalid(raw: dict[str, Any]) -> None:
    with contextlib.suppress(SpecInvalid):
        assert parse_task(raw, where="task.json").id


@UNTIMED
@given(st.text(alphabet="&*ab:-[]{}!<>|? \n#'\"1.,%@\t\ufeff"))
def test_any_yaml_is_read_or_invalid(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yml"
    path.write_text(text)
    with contextlib.suppress(SpecInvalid):
        json.dumps(read_mapping(path))


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (bomb(12), "values"),
        ("a: &a " + "y" * 100_000 + "\nb: [" + "*a, " * 1000 + "]", "values"),
        ("a: &a [*a]", "inside of what it repeats"),
        ("a: &a {b: [*a]}", "inside of what it repeats"),
        ("a: " + "[" * 201 + "]" * 201, "nested deeper"),
        ('{"a": [' + "1," * (MAX_VALUES + 1) + "1]}", "values"),
        ("# " + "x" * MAX_BYTES, "larger than 4 MiB"),
        ("a: 1\n\x0b", "1"),
    ],
)
def test_what_would_grow_without_bounds_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(text)
    with pytest.raises(SpecInvalid, match=reason):
        read_mapping(path)


def test_modest_aliases_and_merges_load(tmp_path: Path) -> None:
    path = tmp_path / "env.yaml"
    path.write_text("a: &a {b: 1}\nc: [*a, *a]\nd:\n  <<: *a\n  e: 2\n" + "f: &b 3\ng: *b\n")
    assert read_mapping(path) == {"a": {"b": 1}, "c": [{"b": 1}] * 2, "d": {"b": 1, "e": 2}, "f": 3, "g": 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31 10:00:00", "2024-01-31 10:00:00"),
        ("!!timestamp 2024-01-31", "2024-01-31"),
        ("!!binary aGk=", "aGk="),
        ("!!set {x}", {"x": None}),
    ],
)
def test_yaml_gives_only_what_json_could_hold(tmp_path: Path, text: str, value: object) -> None:
    path = tmp_path / "env.yaml"
    path.write_text(f"a: {text}")
    assert read_mapping(path) == {"a": value}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("name", ["env.json", "env.yaml"])
def test_windows_line_ends_and_a_byte_order_mark_are_read(
    tmp_path: Path, newline: str, mark: bytes, name: str
) -> None:
    text = (
        json.dumps(ENV, indent=1)
        if name == "env.json"
        else '# made by hand\nid: "notes"\nobservation: []\naction: []\n'
    )
    (tmp_path / name).write_bytes(mark + text.replace("\n", newline).encode())
    with contextlib.suppress(SpecInvalid):
        assert load_env(tmp_path).id
    assert "id" in read_mapping(tmp_path / name)


def test_of_two_equal_keys_the_last_counts(tmp_path: Path) -> None:
    for name, text in {"env.json": '{"id": "a", "id": "b"}', "env.yaml": "id: a\nid: b"}.items():
        (tmp_path / name).write_text(text)
        assert read_mapping(tmp_path / name) == {"id": "b"}


@pytest.mark.parametrize(
    "value", ["1" * 4300, "0x" + "f" * 5000, "1e999", "-.inf", ".nan", "1_0", "9" * 5000]
)
def test_huge_numbers_are_values_or_invalid(tmp_path: Path, value: str) -> None:
    for key in ("id", "step_cycle_ms", "version", "resources"):
        path = tmp_path / "env.yaml"
        path.write_text(
            f"id: a\nobservation: [{{type: rgb_screen}}]\naction: [{{type: mouse}}]\n{key}: {value}\n"
        )
        with contextlib.suppress(SpecInvalid):
            assert load_env(tmp_path)


@pytest.mark.parametrize("base", [["x11-lite"], {"a": 1}, "x" * 1000, 7, "\ud800"])
def test_a_base_that_is_no_preset_is_invalid(base: object) -> None:
    with pytest.raises(SpecInvalid, match="no preset"):
        parse_env({**ENV, "base": base}, where="env.json")
