from __future__ import annotations

import pytest

from gym_queue.specs.modules import Modules


@pytest.mark.parametrize(
    "name", ["json", "os.path", "numpy", "numpy.linalg", "gym_queue.errors", "gym_anything.vlm"]
)
def test_what_a_verifier_can_import_is_known(name: str) -> None:
    assert Modules().has(name)


@pytest.mark.parametrize("name", ["no_such_package", "numpy.no_such_module", "gym_anything.nothing"])
def test_what_it_cannot_is_not(name: str) -> None:
    assert not Modules().has(name)
