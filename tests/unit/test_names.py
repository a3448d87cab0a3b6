from __future__ import annotations

import pytest

from gym_queue.names import PRESET_RUNNERS, RUNNERS, acceptable_runners


@pytest.mark.parametrize(
    ("explicit", "of_spec", "preset", "expected"),
    [
        ("docker", "qemu", "windows-11", {"docker"}),
        (None, "local", "windows-11", {"local"}),
        (None, None, "windows-11", {"qemu", "qemu_native"}),
        (None, None, "x11-lite", set()),
        ("", "", "", set()),
        (None, None, None, set()),
    ],
)
def test_the_most_explicit_choice_decides(
    explicit: str | None, of_spec: str | None, preset: str | None, expected: set[str]
) -> None:
    assert acceptable_runners(explicit, of_spec, preset) == expected


def test_presets_imply_runners_that_exist() -> None:
    assert {name for names in PRESET_RUNNERS.values() for name in names} <= set(RUNNERS)
