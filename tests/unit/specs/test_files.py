from __future__ import annotations

import codecs
import contextlib
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gym_queue.errors import SpecInvalid
from gym_queue.specs.files import read_mapping


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1}',
        b'{"a": 1,}',
        b'{"a": 1} # a comment',
        b"a: 1",
        b"{a: 1}",
        codecs.BOM_UTF8 + b'{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_json_and_yaml_load_whatever_the_ending(tmp_path: Path, text: bytes) -> None:
    for name in ("env.json", "env.yaml"):
        (tmp_path / name).write_bytes(text)
        assert read_mapping(tmp_path / name) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{\n "a": 1\n "b": 2}', "3:2"),
        (b"", "1:1"),
        (b"[1, 2]", "1:1"),
        (b'"text"', "1:1"),
        (b'{"a":\n "\xff"}', "2:3"),
        (b'{"a": "\x01\n', "1:8"),
        (b"[" * 100_000, "1:1"),
        (b'{"a": ' + b"9" * 5000 + b"}", "1:1"),
    ],
)
def test_a_malformed_json_file_is_an_error_with_its_place(tmp_path: Path, text: bytes, place: str) -> None:
    path = tmp_path / "env.json"
    path.write_bytes(text)
    with pytest.raises(SpecInvalid) as caught:
        read_mapping(path)
    assert str(caught.value).startswith(f"{path}:{place}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"a: 1\nb: [\n", "3:1"),
        (b"a: *nowhere", "1:4"),
        (b"a: !!python/object:os.system x", "1:4"),
        (b"a: !!bool maybe", "1:1"),
        (b"a: \x00", "1:4"),
        (b"- " * 100_000 + b"x", "1:1"),
        (b"a: 1\n---\nb: 2", "2:1"),
        (b"? [a]\n: 1", "1:3"),
    ],
)
def test_a_malformed_yaml_file_is_an_error_with_its_place(tmp_path: Path, text: bytes, place: str) -> None:
    path = tmp_path / "env.yaml"
    path.write_bytes(text)
    with pytest.raises(SpecInvalid) as caught:
        read_mapping(path)
    assert str(caught.value).startswith(f"{path}:{place}: ")
    assert "\n" not in str(caught.value)


def test_nan_loads(tmp_path: Path) -> None:
    (tmp_path / "env.json").write_text('{"a": NaN}')
    assert math.isnan(read_mapping(tmp_path / "env.json")["a"])


def test_a_date_in_yaml_stays_text(tmp_path: Path) -> None:
    (tmp_path / "env.yaml").write_text("version: 2024-01-31")
    assert read_mapping(tmp_path / "env.yaml") == {"version": "2024-01-31"}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no verdict by the clock
@given(st.binary(max_size=60))
def test_any_bytes_load_or_are_invalid(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content)
    with contextlib.suppress(SpecInvalid):
        assert isinstance(read_mapping(path), dict)
