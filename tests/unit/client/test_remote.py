from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from gym_queue.client import RemoteGymEnv
from gym_queue.env.local import LocalGymEnv
from gym_queue.errors import BadReply, ConnectionFailed, EnvState, RequestInvalid, SpecNotFound, Unauthorized
from gym_queue.protocol.surface import GymEnv
from tests.unit.client.conftest import answer

SURFACE = [name for name in vars(GymEnv) if not name.startswith("_")]
CREATED = answer(201, {"env_id": "e1", "worker_id": "w1", "worker_url": "http://w1:1"})
CLOSED = answer(200, {"status": "closed"})


def open_remote(server, **options):
    return RemoteGymEnv.from_config(server.url, "/only/there", **{"token": "secret-token", **options})


@pytest.mark.parametrize("kind", [RemoteGymEnv, LocalGymEnv])
@pytest.mark.parametrize("name", SURFACE)
def test_the_surface_is_the_protocols(kind, name):
    wanted, found = inspect.getattr_static(GymEnv, name), inspect.getattr_static(kind, name)
    if isinstance(wanted, property):
        assert isinstance(found, property)
        wanted, found = wanted.fget, found.fget
    assert inspect.signature(found) == inspect.signature(wanted)


def test_the_constructor_takes_what_gym_anythings_users_write():
    parameters = inspect.signature(RemoteGymEnv).parameters.values()
    positional = [(each.name, each.default) for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    assert positional[1:] == [
        ("env_spec", None),
        ("task_spec", None),
        ("env_dir", None),
        ("task_id", None),
        ("timeout", 300),
        ("worker_reset_policy", "core"),
        ("verifier_env", None),
        ("fast_io", False),
        ("benchmark", None),
        ("env_name", None),
    ]


def test_the_ids_are_those_of_the_reply_and_the_create_names_the_env(server):
    server.then(CREATED, CLOSED)
    with open_remote(server, priority=3, metadata={"run": 1}, verifier_env={"A": 1, "B": None}) as env:
        assert (env.env_id, env.worker_id, env.worker_url) == ("e1", "w1", "http://w1:1")
        assert (env.env_spec, env.task_spec, env.task_description, env.max_steps) == (None, None, "", None)
    sent = server.seen[0].body
    assert len(sent.pop("env_id")) == 36
    assert sent == {
        "env_dir": "/only/there",
        "priority": 3,
        "metadata": {"run": 1},
        "verifier_env": {"A": "1"},
        "lease_s": 120,
    }
    assert server.seen[1].path == "/envs/e1/close"


def test_close_twice_asks_once_and_everything_after_it_is_an_env_state_error(server):
    server.then(CREATED, CLOSED)
    env = open_remote(server)
    env.close()
    env.close()
    assert len(server.seen) == 2
    uses = [
        env.reset,
        lambda: env.step([]),
        env.capture_observation,
        lambda: env.fetch_path("x"),
        env.get_session_info,
    ]
    for use in uses:
        with pytest.raises(EnvState, match="closed"):
            use()


def test_close_of_an_environment_that_is_gone_is_quiet(server):
    server.then(CREATED, answer(410, {"error": "gone", "code": "env_lost"}))
    open_remote(server).close()


def test_close_that_fails_is_logged_and_never_hides_the_blocks_own_error(server, caplog):
    server.then(CREATED, answer(500, {"error": "broken"}))
    with pytest.raises(ZeroDivisionError), open_remote(server):
        raise ZeroDivisionError
    assert "broken" in caplog.text


def test_a_create_that_got_no_answer_closes_what_it_may_have_opened(server):
    server.then(answer(504, {"error": "slow", "code": "env_timeout"}), CLOSED)
    with pytest.raises(Exception, match="slow"):
        open_remote(server, env_id="mine")
    assert server.seen[1].path == "/envs/mine/close"


def test_a_create_that_was_refused_has_nothing_to_close(server):
    server.then(answer(401, {"error": "no"}))
    with pytest.raises(Unauthorized):
        open_remote(server)
    assert len(server.seen) == 1


def test_a_create_reply_without_env_id_is_a_bad_reply(server):
    server.then(answer(201, {"id": 3}))
    with pytest.raises(BadReply, match="env_id"):
        open_remote(server)


def test_wrong_arguments_are_refused_before_anything_is_sent(dead_url):
    with pytest.raises(RequestInvalid, match="exactly one"):
        RemoteGymEnv(dead_url)
    with pytest.raises(RequestInvalid, match="priority"):
        RemoteGymEnv(dead_url, env_dir="x", priority=12)
    with pytest.raises(RequestInvalid, match="timeout"):
        RemoteGymEnv(dead_url, env_dir="x", timeout=0)
    with pytest.raises(RequestInvalid, match="'recreate'"):
        RemoteGymEnv(dead_url, env_dir="x", on_lost="ignore")  # type: ignore[arg-type]
    with pytest.raises(RequestInvalid, match="lease_s"):
        RemoteGymEnv(dead_url, env_dir="x", lease_s=0)
    with pytest.raises(SpecNotFound):
        RemoteGymEnv.from_config(dead_url, "terminal_env", "missing")


def test_a_dead_server_is_a_connection_failure(dead_url):
    with pytest.raises(ConnectionFailed, match=dead_url):
        RemoteGymEnv.from_config(dead_url, "terminal_env", token="", timeout=0.1)


def test_the_token_comes_from_the_environment_and_is_not_in_the_repr(server, monkeypatch):
    monkeypatch.setenv("GYM_ANYTHING_TOKEN", "from-the-environment")
    server.then(CREATED, CLOSED)
    with open_remote(server, token=None, verifier_env={"VLM_API_KEY": "k-1"}) as env:
        assert "from-the-environment" not in repr(env)
        assert "k-1" not in repr(env)
        assert "e1" in repr(env)
    assert server.seen[0].headers["authorization"] == "Bearer from-the-environment"


def test_session_info_is_asked_once_an_episode_and_only_when_needed(server):
    session = {"env_id": "e1", "runner_name": "LocalRunner", "artifacts_dir": "/w/ep1", "custom": 1}
    other = {**session, "artifacts_dir": "/w/ep2"}
    started = answer(200, {"observation": {}})
    server.then(
        CREATED, started, answer(200, {"session": session}), started, answer(200, {"session": other}), CLOSED
    )
    with open_remote(server) as env:
        env.reset(seed=3)
        assert (str(env.episode_dir), str(env.artifacts_dir), env.runner_name) == (
            "/w/ep1",
            "/w/ep1",
            "LocalRunner",
        )
        env.reset()
        assert str(env.episode_dir) == "/w/ep2"
    assert [seen.path.split("/")[-1] for seen in server.seen].count("session_info") == 2


def test_limits_that_were_set_are_those_shown(server):
    server.then(CREATED, answer(), answer(), CLOSED)
    with RemoteGymEnv.from_config(server.url, "terminal_env", "top_ip", token="t") as env:
        assert env.task_spec is not None
        assert env.max_steps == env.task_spec.init.max_steps
        env.set_episode_limits(max_steps=7)
        env.set_episode_limits(timeout_sec=90)
        assert (env.max_steps, env.timeout_sec) == (7, 90)
        assert env.task_description == env.task_spec.description


def test_files_go_to_a_cache_that_close_removes_or_where_asked(server, tmp_path):
    server.then(CREATED, answer(raw=b"one"), answer(raw=b"two"), answer(raw=b"three"), CLOSED)
    with open_remote(server) as env:
        one, two = env.fetch_path("/ep1/frame.png"), env.fetch_path("/ep2/frame.png")
        three = env.fetch_path("summary.json", str(tmp_path / "new" / "s.json"))
        contents = [Path(path).read_bytes() for path in (one, two, three)]
    assert contents == [b"one", b"two", b"three"]
    assert server.seen[1].path == "/envs/e1/fetch_path?path=%2Fep1%2Fframe.png"
    assert not Path(one).exists()
    assert (tmp_path / "new" / "s.json").exists()
