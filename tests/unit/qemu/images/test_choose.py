from __future__ import annotations

from typing import Any

import pytest

from gym_queue.errors import RunnerFailed, SpecInvalid
from gym_queue.runners.qemu.images.choose import choose_image, wanted_image
from gym_queue.runners.qemu.images.store import ImageStore
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.loader import parse_env

from .conftest import Keep


def spec(**keys: Any) -> EnvSpec:
    return parse_env(
        {"id": "e@1", "observation": [{"type": "rgb_screen"}], "action": [{"type": "mouse"}], **keys},
        where="env",
    )


@pytest.fixture(autouse=True)
def debian(keep: Keep) -> None:
    keep("debian-x11", display=":0")


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({}, None),
        ({"os_type": "linux"}, None),
        ({"image": "mine"}, "mine"),
        ({"image": "other", "vm": {"image": "mine"}}, "mine"),
        ({"image": "/disks/mine.qcow2"}, "/disks/mine"),
        ({"base": "ubuntu-gnome-systemd"}, "ubuntu-gnome-systemd"),
        ({"base": "windows-11"}, "base_windows_11"),
        ({"base": "android-14"}, "base_android_14"),
        ({"base": "android-14", "vm": {"image": "phone"}}, "phone"),
        ({"dockerfile": "Dockerfile"}, "e"),
        ({"os_type": "windows"}, "e"),
    ],
)
def test_a_spec_names_its_image_in_many_ways(keys: dict[str, Any], wanted: str | None) -> None:
    assert wanted_image(spec(**keys)) == wanted


def test_a_spec_that_names_nothing_means_debian(store: ImageStore) -> None:
    image, notes = choose_image(spec(), store)
    assert (image.name, notes) == ("debian-x11", ())


def test_an_image_of_the_presets_name_is_its_own(store: ImageStore, keep: Keep) -> None:
    keep("ubuntu-gnome-systemd", b"gnome")
    image, notes = choose_image(spec(base="ubuntu-gnome-systemd", vm={"substitute": True}), store)
    assert (image.name, notes) == ("ubuntu-gnome-systemd", ())


@pytest.mark.parametrize("keys", [{"base": "ubuntu-gnome-systemd_highres"}, {"image": "ubuntu:22.04"}])
def test_nothing_stands_in_for_a_missing_image_unless_the_spec_allows_it(
    store: ImageStore, keys: dict[str, Any]
) -> None:
    with pytest.raises(RunnerFailed, match=r'image import FILE\.qcow2 --name .*"vm": \{"substitute": true\}'):
        choose_image(spec(**keys), store)
    image, notes = choose_image(spec(**keys, vm={"substitute": True}), store)
    assert image.name == "debian-x11"
    assert len(notes) == 1
    assert "debian-x11 stands in for it" in notes[0]


def test_a_name_that_no_image_can_have_is_imported_under_another(store: ImageStore) -> None:
    with pytest.raises(RunnerFailed, match=r"--name NAME and set vm\.image to NAME"):
        choose_image(spec(image="ubuntu:22.04"), store)


@pytest.mark.parametrize("preset", ["windows-11", "android-14"])
def test_debian_stands_in_for_no_other_system(store: ImageStore, preset: str) -> None:
    with pytest.raises(RunnerFailed, match="image import") as raised:
        choose_image(spec(base=preset), store)
    assert "substitute" not in str(raised.value)
    with pytest.raises(
        SpecInvalid, match=r"is for (windows|android), and the VM image debian-x11 holds linux"
    ):
        choose_image(spec(base=preset, vm={"substitute": True}), store)


def test_an_image_of_another_system_than_the_specs_is_refused(store: ImageStore, keep: Keep) -> None:
    keep("win", b"win", os_type="windows")
    assert choose_image(spec(image="win"), store)[0].name == "win"
    with pytest.raises(SpecInvalid, match="the VM image win holds windows"):
        choose_image(spec(image="win", os_type="linux"), store)


def test_a_missing_debian_is_said_with_the_command_that_builds_it(store: ImageStore) -> None:
    store.remove("debian-x11")
    for keys in ({}, {"base": "x11-lite", "vm": {"substitute": True}}):
        with pytest.raises(RunnerFailed, match="gym-anything image build debian-x11"):
            choose_image(spec(**keys), store)
