"""A master that others can reach asks for a token, unless its operator says in so many words that it must not."""

from __future__ import annotations

import json
import re

import httpx
import pytest

EVERYWHERE = ("--host", "0.0.0.0", "--port", "0")


def url_of(program):
    """Return where a program serves, and what it said until then."""
    said = []
    for line in program.stderr or program.stdout:
        said.append(line)
        found = re.search(r"master at http://localhost:(\d+)", line)
        if found:
            return f"http://127.0.0.1:{found[1]}", "".join(said)
    raise AssertionError("".join(said))


def test_the_first_start_makes_a_token_and_nobody_gets_in_without(place):
    with place.started("gym-anything-master", *EVERYWHERE) as master:
        url, _ = url_of(master)
        token_file = place.folder / "token"
        token = token_file.read_text().strip()
        assert (len(token) >= 32, token_file.stat().st_mode & 0o777) == (True, 0o600)
        assert str(token_file) in master.stdout.readline()
        with httpx.Client(base_url=url, trust_env=False) as http:
            assert http.get("/health").status_code == 200
            for method, path in (
                ("GET", "/workers/list"),
                ("POST", "/envs/create"),
                ("POST", "/workers/register"),
            ):
                reply = http.request(method, path, json=None if method == "GET" else {})
                assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
                assert "Bearer" in reply.headers["WWW-Authenticate"]
            http.headers["Authorization"] = f"Bearer {token}"
            assert http.get("/workers/list").status_code == 200


def test_the_token_is_not_said(place):
    with place.started("gym-anything-master", *EVERYWHERE) as master:
        _, said = url_of(master)
        said += master.stdout.readline()
        master.terminate()
        assert (place.folder / "token").read_text().strip() not in said + master.stdout.read()


@pytest.mark.parametrize("program", ["gym-anything-master", "gym-anything-worker"])
@pytest.mark.parametrize("how", ["flag", "blank flag", "variable", "blank variable"])
def test_an_empty_token_is_refused_with_one_sentence(place, program, how):
    token = "" if how in ("flag", "variable") else " \t"
    flag, variable = (("--token", token), {}) if "flag" in how else ((), {"GYM_ANYTHING_TOKEN": token})
    ran = place.run(program, *EVERYWHERE, *flag, **variable)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: the token is empty: ")
    place.wait_empty()


def test_no_auth_says_what_it_gives_up_and_lets_everybody_in(place):
    with place.started("gym-anything-master", *EVERYWHERE, "--no-auth") as master:
        url, _ = url_of(master)
        assert "whoever reaches this port can run programs on every worker" in master.stdout.readline()
        assert httpx.get(f"{url}/workers/list", trust_env=False).status_code == 200


@pytest.mark.parametrize("setting", ["GYM_ANYTHING_MASTER_NO_AUTH", "GYM_ANYTHING_NO_AUTH", "NO_AUTH"])
def test_an_empty_variable_turns_no_lock_off(place, setting):
    with place.started("gym-anything-master", *EVERYWHERE, **{setting: ""}) as master:
        url, _ = url_of(master)
        reply = httpx.get(f"{url}/workers/list", trust_env=False)
        assert (reply.status_code, json.loads(reply.content)["code"]) == (401, "unauthorized")
