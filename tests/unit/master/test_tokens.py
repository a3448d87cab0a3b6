"""Named tokens: kept as hashes, noticed by a running master, gone when revoked or expired."""

from __future__ import annotations

import re
import threading

import pytest
from typer.testing import CliRunner

from gym_queue.cli.main import app
from gym_queue.cli.token import parse_duration
from gym_queue.errors import Conflict, NotFound, RequestInvalid, StartupFailed, Unauthorized
from gym_queue.master.access import Keyring, Role
from gym_queue.master.tokens import NamedTokens, TokenFile
from gym_queue.web.rotation import GRACE_S, RotatingToken
from tests.unit.master.conftest import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def file(tmp_path, clock):
    return TokenFile(tmp_path / "config/tokens.json", wall=clock)


def keyring(file, clock, **more):
    return Keyring(RotatingToken("cluster"), named=NamedTokens(file), wall=clock, **more)


def test_a_token_is_kept_as_its_hash_alone_in_a_file_of_the_user_alone(file):
    token = file.create("ann")
    assert len(token) > 43
    assert token not in file.path.read_text()
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.path.parent.iterdir() if path.suffix != ".lock"] == ["tokens.json"]


def test_a_token_bears_its_name_and_limits(file, clock):
    token = file.create("ann", max_envs=2, priority_max=5)
    caller = keyring(file, clock).who(token)
    assert (caller.role, caller.name) == (Role.CLIENT, "ann")
    assert (caller.grant.max_envs, caller.grant.priority_max) == (2, 5)


def test_a_running_master_notices_tokens_that_come_and_go(file, clock):
    keys = keyring(file, clock)
    token = file.create("ann")
    keys.refresh()
    assert keys.who(token).name == "ann"
    file.revoke("ann")
    keys.refresh()
    with pytest.raises(Unauthorized, match="wrong"):
        keys.who(token)


def test_an_expired_token_opens_nothing_and_its_name_is_free_again(file, clock):
    token = file.create("ann", lasts_s=10)
    keys = keyring(file, clock)
    clock.now += 9
    assert keys.who(token).name == "ann"
    clock.now += 1
    with pytest.raises(Unauthorized, match="has expired"):
        keys.who(token)
    assert file.create("ann") != token


def test_a_name_has_one_token(file):
    file.create("ann")
    with pytest.raises(Conflict, match="revoke it first"):
        file.create("ann")
    with pytest.raises(NotFound, match="no token named bob"):
        file.revoke("bob")


def test_tokens_made_at_once_are_all_kept(file):
    threads = [threading.Thread(target=file.create, args=(f"n{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {grant.name for grant in file.grants()} == {f"n{number}" for number in range(8)}


@pytest.mark.parametrize("content", ["{", '{"tokens": [{"name": "a/b"}]}', "[]"])
def test_a_damaged_file_stops_a_start_and_changes_nothing_for_who_runs(file, clock, content):
    token = file.create("ann")
    keys = keyring(file, clock)
    file.path.write_text(content)
    keys.refresh()
    assert keys.who(token).name == "ann"
    with pytest.raises(StartupFailed, match="damaged"):
        NamedTokens(file)


def test_a_file_that_others_may_write_is_refused(file):
    file.create("ann")
    file.path.chmod(0o666)
    with pytest.raises(StartupFailed, match="chmod 600"):
        file.grants()


def test_with_a_worker_token_the_fleet_speaks_with_that_alone(file, clock):
    keys = keyring(file, clock, worker_token="workers")
    assert keys.who("workers").role is Role.WORKER
    assert keys.fleet_token == "workers"
    assert keyring(file, clock).fleet_token == "cluster"


def test_a_changed_cluster_token_opens_at_once_and_the_one_before_for_a_grace(tmp_path, clock):
    path = tmp_path / "token"
    path.write_text("old")
    cluster = RotatingToken("old", path, read=path.read_text, clock=clock)
    assert not cluster.refresh()
    path.write_text("newer")
    assert cluster.refresh()
    assert (cluster.opens("newer"), cluster.opens("old"), cluster.current) == (True, True, "newer")
    clock.now += GRACE_S
    assert (cluster.opens("newer"), cluster.opens("old")) == (True, False)


@pytest.mark.parametrize("content", [None, ""])
def test_a_cluster_token_that_is_gone_stays_what_it_was(tmp_path, clock, content):
    path = tmp_path / "token"
    path.write_text("old")
    cluster = RotatingToken("old", path, read=path.read_text, clock=clock)
    path.unlink() if content is None else path.write_text(content)
    assert not cluster.refresh()
    assert cluster.opens("old")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000)]
)
def test_a_time_is_a_number_and_a_unit(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "0d", "-1d", "1.5h", "1w", "999999999d", "\u0661d"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(RequestInvalid, match="such as"):
        parse_duration(text)


def test_the_command_shows_a_token_once(tmp_path, monkeypatch):
    monkeypatch.setenv("GYM_ANYTHING_TOKENS_FILE", str(tmp_path / "tokens.json"))
    run = CliRunner().invoke
    made = run(app, ["token", "create", "ann", "--max-envs", "20", "--priority-max", "5", "--expires", "30d"])
    token = made.stdout.strip()
    assert re.fullmatch(r"gat_[\w-]{43}", token)
    listed = run(app, ["token", "list"]).stdout
    assert re.search(r"^ann +20 +5  20\d\d-", listed, re.MULTILINE)
    assert token not in listed
    assert "opens nothing" in run(app, ["token", "revoke", "ann"]).stdout
    assert run(app, ["token", "list"]).stdout == "there are no named tokens\n"


def test_the_command_refuses_a_name_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("GYM_ANYTHING_TOKENS_FILE", str(tmp_path / "tokens.json"))
    result = CliRunner().invoke(app, ["token", "create", "a/b"])
    assert isinstance(result.exception, RequestInvalid)
