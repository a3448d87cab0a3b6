"""Watching environments through a master: the gateway forwards it, to whom the environment is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gym_queue.master.tokens import TokenFile
from gym_queue.testing import Fleet, FleetSetup
from gym_queue.web.auth import COOKIE

TOKEN = "the-cluster-token"
SPEC: dict[str, Any] = {
    "id": "watched",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [160, 120]}],
    "action": [{"type": "keyboard"}],
}
CALLS = ("screen", "calls", "trajectory", "artifacts")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenFile:
    return TokenFile(tmp_path_factory.mktemp("tokens") / "tokens.json")


@pytest.fixture(scope="module")
def named(tokens: TokenFile) -> dict[str, str]:
    return {name: tokens.create(name) for name in ("ann", "bob")}


@pytest.fixture(scope="module")
def fleet(named: dict[str, str], tokens: TokenFile) -> Iterator[Fleet]:
    variables = {"GYM_ANYTHING_TOKEN": TOKEN, "GYM_ANYTHING_TOKENS_FILE": str(tokens.path)}
    with Fleet(FleetSetup(workers=1, worker_arguments=("--runners", "fake"), variables=variables)) as running:
        yield running


def by(fleet: Fleet, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=fleet.url, headers=headers, timeout=30, trust_env=False)


@pytest.fixture
def ann(fleet: Fleet, named: dict[str, str]) -> Iterator[httpx.Client]:
    with by(fleet, named["ann"]) as client:
        yield client


@pytest.fixture
def env(ann: httpx.Client) -> Iterator[str]:
    """The path of an environment of ann's, whose episode runs."""
    path = f"/envs/{ann.post('/envs/create', json={'env_spec': SPEC}).json()['env_id']}"
    assert ann.post(f"{path}/reset").status_code == 200
    yield path
    ann.post(f"{path}/close")


@pytest.mark.parametrize("call", CALLS)
def test_the_owner_and_the_operator_may_watch_and_nobody_else(
    fleet: Fleet, named: dict[str, str], env: str, call: str
) -> None:
    for token, status in ((named["ann"], 200), (TOKEN, 200), (named["bob"], 403), ("wrong", 401)):
        with by(fleet, token) as client:
            assert client.get(f"{env}/{call}").status_code == status
            assert client.head(f"{env}/screen").status_code == status


@pytest.mark.parametrize("call", CALLS)
def test_the_dashboards_cookie_opens_them(fleet: Fleet, env: str, call: str) -> None:
    with httpx.Client(base_url=fleet.url, cookies={COOKIE: TOKEN}, timeout=30, trust_env=False) as browser:
        assert browser.get(f"{env}/{call}").status_code == 200
        assert browser.head(f"{env}/screen").status_code == 200


def test_a_picture_its_head_and_304_come_through_as_the_worker_sends_them(
    ann: httpx.Client, env: str
) -> None:
    full = ann.get(f"{env}/screen?width=80")
    assert (full.status_code, full.headers["content-type"], full.content[:2]) == (
        200,
        "image/jpeg",
        b"\xff\xd8",
    )
    assert full.headers["x-screen-size"] == "160x120"
    head = ann.head(f"{env}/screen?width=80")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(full.content))
    same = ann.get(f"{env}/screen?width=80", headers={"If-None-Match": full.headers["etag"]})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", full.headers["etag"])
    assert ann.get(f"{env}/screen").status_code == 200  # the connection goes on


@pytest.mark.parametrize("call", CALLS)
def test_another_method_is_refused_with_the_right_one(ann: httpx.Client, env: str, call: str) -> None:
    reply = ann.post(f"{env}/{call}")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("call", CALLS)
def test_an_environment_that_was_closed_is_not_watched_any_more(
    ann: httpx.Client, env: str, call: str
) -> None:
    assert ann.get(f"{env}/{call}").status_code == 200
    ann.post(f"{env}/close")
    gone = ann.get(f"{env}/{call}")
    assert (gone.status_code, gone.json()["code"]) in ((404, "env_not_found"), (410, "env_lost"))
