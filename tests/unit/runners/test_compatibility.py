"""What the matrix says of a runner is what the runner does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gym_queue.env.local import make
from gym_queue.errors import NotSupported, RequestInvalid
from gym_queue.names import RUNNERS
from gym_queue.protocol.actions import Action
from gym_queue.runners.base import MachineCheckpoints, RunnerSetup
from gym_queue.runners.compatibility import Compatibility, compatibility
from gym_queue.runners.registry import implemented_runners, open_runner, runner_kinds
from gym_queue.specs.env import EnvSpec

FOUND = {each.kind: each for each in compatibility(list(implemented_runners()))}
OBSERVATIONS = {
    "rgb_screen": "png",
    "cli_stdout": "cli_stdout",
    "ui_tree": "ui_tree",
    "audio_waveform": "audio",
}
ACTIONS: dict[str, dict[str, Any]] = {
    "mouse": {"mouse": {"move": [1, 1]}},
    "keyboard": {"keyboard": {"text": "x"}},
    "voice": {"voice": {"pcm16_b64": ""}},
    "api_call": {"api_call": {"name": "x"}},
}
SPECS: dict[str, dict[str, Any]] = {
    "LocalRunner": {"runner": "local"},
    "LocalDesktop": {"runner": "local", "display_backend": "x11"},
    "FakeRunner": {"runner": "fake"},
}


def observed(work_dir: Path, fields: dict[str, Any], types: list[str]) -> set[str]:
    """Return which observations a sandbox gives of those that are asked for, and see which actions it takes."""
    spec = {
        "id": "probe",
        **fields,
        "observation": [
            {"type": each, **({"resolution": [320, 200]} if each == "rgb_screen" else {})} for each in types
        ],
        "action": [{"type": "mouse"}],
    }
    runner = open_runner(
        fields["runner"], RunnerSetup("probe", EnvSpec.model_validate(spec), None, work_dir, 1)
    )
    try:
        runner.start()
        seen = runner.observe()
        for name, action in ACTIONS.items():
            if name in FOUND[type(runner).__name__].actions:
                runner.check(Action.model_validate(action))
            else:
                with pytest.raises(NotSupported):
                    runner.check(Action.model_validate(action))
    finally:
        runner.close()
    return {each for each in types if getattr(seen, OBSERVATIONS[each]) is not None}


@pytest.mark.parametrize(
    "kind", [*("LocalRunner", "FakeRunner"), pytest.param("LocalDesktop", marks=pytest.mark.needs("Xvfb"))]
)
def test_a_runner_observes_and_takes_what_the_matrix_says_and_nothing_else(tmp_path: Path, kind: str) -> None:
    offered = set(FOUND[kind].observations)
    assert observed(tmp_path / "offered", SPECS[kind], sorted(offered)) == offered
    for other in OBSERVATIONS.keys() - offered:
        try:
            assert other not in observed(tmp_path / other, SPECS[kind], ["rgb_screen", other])
        except NotSupported:
            continue  # refused outright


def test_a_runner_that_keeps_files_alone_does_not_reset_to_a_machine_that_runs() -> None:
    assert not FOUND["LocalRunner"].savevm
    fields = {"observation": [{"type": "rgb_screen"}], "action": [{"type": "mouse"}]}
    with (
        make({"id": "x", "runner": "local", **fields}) as env,
        pytest.raises(NotSupported, match="use_savevm"),
    ):
        env.reset(use_savevm=True)


def test_who_keeps_machines_has_the_power_to_save_one() -> None:
    for name in implemented_runners():
        for kind in runner_kinds(name):
            assert kind.TRAITS.keeps_machines == issubclass(kind, MachineCheckpoints)  # type: ignore[attr-defined]


def test_every_runner_is_there_and_those_of_this_version_come_first() -> None:
    rows = compatibility()
    assert {each.runner for each in rows} == set(RUNNERS) - {"fake"}
    implemented = [each.implemented for each in rows]
    assert implemented == sorted(implemented, reverse=True)
    missing = next(each for each in rows if each.runner not in implemented_runners())
    assert missing == Compatibility(
        runner=missing.runner,
        display_name=RUNNERS[missing.runner],
        implemented=False,
        note="not in this version",
    )


def test_powers_are_read_off_the_classes() -> None:
    assert not FOUND["LocalRunner"].live_recording
    assert FOUND["LocalDesktop"].live_recording
    assert FOUND["LocalDesktop"].vnc
    assert FOUND["FakeRunner"].checkpoint_levels == ("pre_start", "post_start", "post_task")


def test_an_unknown_runner_is_refused() -> None:
    with pytest.raises(RequestInvalid, match=r"nope.*local"):
        compatibility(["nope"])
