from __future__ import annotations

import pytest

from gym_queue.errors import StartupFailed
from gym_queue.worker.doctor import Usable, preflight

HAS = frozenset({"local", "fake"})


def test_what_is_ready_is_advertised_without_fake():
    assert preflight(implemented=HAS, must_support=[], skip=False).runners == ("local",)


def test_fake_is_advertised_when_offered_or_required():
    assert preflight(implemented=HAS, must_support=[], offer=["fake"], skip=False).runners == ("fake",)
    assert preflight(implemented=HAS, must_support=["fake"], skip=False).runners == ("local", "fake")


def test_each_missing_must_support_runner_is_named_with_its_reason():
    with pytest.raises(StartupFailed) as caught:
        preflight(implemented=HAS, must_support=["local", "avf", "apptainer"], skip=False)
    assert "avf: " in caught.value.message
    assert "apptainer: " in caught.value.message
    assert "this version has no avf runner yet" in caught.value.message
    assert "local: " not in caught.value.message


def test_a_required_runner_that_is_not_offered_is_missing():
    with pytest.raises(StartupFailed, match=r"local: not among the runners offered \(fake\)"):
        preflight(implemented=HAS, must_support=["local"], offer=["fake"], skip=False)


@pytest.mark.parametrize("skip", [False, True])
def test_unknown_names_are_refused_by_name(skip):
    with pytest.raises(StartupFailed, match="no runner called quemu, dokcer"):
        preflight(implemented=HAS, must_support=["dokcer"], offer=["quemu", "local"], skip=skip)


def test_an_offered_runner_that_is_not_ready_is_a_warning(caplog):
    assert preflight(implemented=HAS, must_support=[], offer=["avf", "local"], skip=False).runners == (
        "local",
    )
    assert "not advertised: avf: " in caplog.text


def test_no_usable_runner_at_all_is_an_error_with_the_reasons():
    with pytest.raises(
        StartupFailed, match=r"no runner is usable on this host: avf: .*this version has no avf"
    ):
        preflight(implemented=HAS, must_support=[], offer=["avf"], skip=False)
    with pytest.raises(StartupFailed, match="this version has none"):
        preflight(implemented=[], must_support=[], skip=False)


def test_skipping_advertises_what_is_offered_unprobed_and_warns(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))  # no bash: a probe would refuse local
    assert preflight(implemented=HAS, must_support=[], skip=True).runners == ("local",)
    assert preflight(implemented=HAS, must_support=[], offer=["fake"], skip=True).runners == ("fake",)
    assert "preflight is skipped" in caplog.text


def test_the_acceleration_that_was_seen_is_handed_on():
    details = {"local": {"bash": "5"}, "qemu": {"acceleration": "tcg", "images": "debian-x11"}}
    assert Usable(("local", "qemu"), details).acceleration == "tcg"
    assert Usable(("local",)).acceleration is None


def test_without_bash_local_is_not_usable(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartupFailed, match="bash is not installed"):
        preflight(implemented=HAS, must_support=["local"], skip=False)
