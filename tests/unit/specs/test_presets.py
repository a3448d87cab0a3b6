from __future__ import annotations

import pytest

from gym_queue.errors import SpecInvalid
from gym_queue.names import PRESET_RUNNERS
from gym_queue.specs.loader import parse_env
from gym_queue.specs.presets import PRESETS, with_preset


def test_there_are_the_eleven_presets_of_the_format() -> None:
    assert len(PRESETS) == 11
    assert PRESETS.keys() >= PRESET_RUNNERS.keys()


@pytest.mark.parametrize("base", PRESETS)
def test_a_preset_makes_a_bare_file_an_environment(base: str) -> None:
    spec = parse_env({"id": "a", "base": base}, where="env.json")
    assert spec.screen is not None
    assert spec.acceptable_runners() == PRESET_RUNNERS.get(base, frozenset())
    assert spec.model_extra is not None
    assert spec.model_extra.keys() <= {"base_qcow2"}


def test_objects_are_merged_and_lists_replaced() -> None:
    raw = {
        "base": "apptainer-xfce-gpu",
        "resources": {"cpu": 9},
        "apptainer": {"env": {"A": "b"}},
        "action": [1],
    }
    merged = with_preset(raw, where="env.json")
    assert merged["resources"] == {"cpu": 9, "mem_gb": 8, "gpu": 1, "net": True}
    assert merged["apptainer"]["env"] == {"A": "b", "DISPLAY": ":99", "HOME": "/home/ga", "USER": "ga"}
    assert merged["action"] == [1]


def test_null_takes_the_preset_s_value_away() -> None:
    raw = {"id": "a", "base": "x11-lite", "dockerfile": None, "image": "mine:1"}
    assert parse_env(raw, where="env.json").dockerfile is None


def test_what_one_environment_does_to_its_content_leaves_the_preset_alone() -> None:
    with_preset({"base": "android-avd-35"}, where="a")["avd"]["api_level"] = 1
    assert PRESETS["android-avd-35"]["avd"]["api_level"] == 35


@pytest.mark.parametrize("base", ["windows-95", ["x11-lite"], "", 7])
def test_an_unknown_preset_is_an_error_that_names_the_known_ones(base: object) -> None:
    with pytest.raises(SpecInvalid, match=r"^env.json: base: .*x11-lite, ubuntu-gnome"):
        with_preset({"base": base}, where="env.json")
