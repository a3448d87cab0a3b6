from __future__ import annotations

import pytest

from gym_queue.protocol.calls import Call
from gym_queue.protocol.methods import Methods

METHODS = Methods(
    Call(method=method, path=path, summary="A call.")
    for method, path in (
        ("GET", "/envs/list"),
        ("GET", "/envs/{env_id}"),
        ("POST", "/envs/{env_id}/step"),
        ("PUT", "/envs/{env_id}/files"),
        ("GET", "/envs/{env_id}/files"),
    )
)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/envs/list", ("GET",)),
        ("/envs/e1", ("GET",)),
        ("/envs/e1/step", ("POST",)),
        ("/envs/e1/files", ("GET", "PUT")),
        ("/envs/e1/dance", ()),
        ("/envs/e1/step/again", ()),
        ("/envs/", ()),
        ("/envs//step", ()),
        ("/elsewhere", ()),
        ("", ()),
    ],
)
def test_an_address_has_the_methods_of_its_calls(path: str, methods: tuple[str, ...]) -> None:
    assert METHODS.of(path) == methods
