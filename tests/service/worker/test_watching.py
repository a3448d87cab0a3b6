"""Watching environments over HTTP, straight at a worker: beside the steps, and no use of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from gym_queue.errors import RunnerFailed
from gym_queue.worker.eye import LOOKS_PER_ENV, Eyes
from gym_queue.worker.live import LiveEnv
from tests.service.worker.rig import Rig, spec, typed
from tests.service.worker.test_http import TOKEN, TYPE, code, serve
from tests.waiting import wait_until

TERMINAL = {**spec("local"), "observation": [{"type": "cli_stdout"}]}
WAITS = r"until [ -e go ]; do sleep 0.02; done; printf '\033[7m%400s' x; sleep 1000"
"""Changes the screen once a file is there."""
DESKTOP = {
    **spec("local"),
    "display_backend": "x11",
    "observation": [{"type": "rgb_screen", "resolution": [320, 240]}],
    "action": [{"type": "mouse"}, {"type": "keyboard"}],
    "entrypoint": f"exec xterm -geometry 40x10+0+0 -e bash -c {shlex.quote(WAITS)}",
    "recording": {"enable": False},
}
SLOW = spec(step_delay_s=600)


@pytest.fixture(scope="module")
def url(shared_rig: Rig) -> Iterator[str]:
    yield from serve(shared_rig)


@pytest.fixture
def client(rig: Rig, url: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        yield client
    for env_id in rig.live:
        rig.run(rig.host.close(env_id))


def path_of(env: LiveEnv) -> str:
    return f"/envs/{env.env_id}"


def look(client: httpx.Client, env: LiveEnv, query: str = "", tag: str = "") -> httpx.Response:
    return client.get(f"{path_of(env)}/screen{query}", headers={"If-None-Match": tag} if tag else {})


def test_a_screen_is_an_image_of_the_width_and_format_that_were_asked(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running()
    for query, kind, size in (
        ("", "jpeg", (160, 120)),
        ("?width=40", "jpeg", (40, 30)),
        ("?width=3840&format=png", "png", (160, 120)),
        ("?width=16&format=png", "png", (16, 12)),
    ):
        reply = look(client, env, query)
        assert (reply.status_code, reply.headers["content-type"]) == (200, f"image/{kind}")
        assert reply.headers["x-screen-size"] == "160x120"
        assert float(reply.headers["x-frame-at"]) > 1e9
        assert reply.headers["cache-control"] == "private, no-store"
        assert Image.open(BytesIO(reply.content)).size == size


def test_a_caller_that_has_the_picture_gets_304_until_it_changes(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running()
    tag = look(client, env).headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        reply = look(client, env, tag=known)
        assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", tag)
        assert reply.headers["x-screen-size"] == "160x120"
    rig.step(env)
    changed = look(client, env, tag=tag)
    assert (changed.status_code, changed.headers["etag"] == tag) == (200, False)


def test_head_tells_the_same_without_the_picture(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running()
    full, head = look(client, env), client.head(f"{path_of(env)}/screen")
    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers, "x": 0}.keys() == {**full.headers, "x": 0}.keys()
    assert head.headers["content-length"] == str(len(full.content))
    assert head.headers["etag"] == full.headers["etag"]


def test_a_terminal_without_a_picture_is_shown_as_text(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running(TERMINAL)
    rig.step(env, "echo $((6*7))\n")
    reply = look(client, env)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert "x-screen-size" not in reply.headers
    assert "42" in reply.text
    assert look(client, env, tag=reply.headers["etag"]).status_code == 304


def test_before_the_first_reset_there_is_nothing_to_watch_yet(client: httpx.Client, rig: Rig) -> None:
    env = rig.open()
    assert code(look(client, env)) == (409, "env_state")
    trajectory = client.get(f"{path_of(env)}/trajectory").json()
    assert (trajectory["episode"], trajectory["events"], trajectory["next"], trajectory["state"]) == (
        None,
        [],
        0,
        "new",
    )
    artifacts = client.get(f"{path_of(env)}/artifacts").json()
    assert (artifacts["episode"], artifacts["files"], artifacts["cut"]) == (None, [], False)
    assert client.get(f"{path_of(env)}/calls").json()["calls"] == []


@pytest.mark.parametrize(
    "query",
    [
        *("screen?width=15", "screen?width=3841", "screen?width=-1", "screen?width=x", "screen?width="),
        *(f"screen?width={10**30}", "screen?format=gif", "screen?width=100&width=x", "screen?width=1e2.5"),
        *("calls?after=-1", "calls?after=x", f"calls?after={10**30}", "trajectory?after=-1"),
        *("trajectory?limit=0", "trajectory?limit=2001", "trajectory?after=1&after=x", "artifacts?frames=2"),
    ],
)
def test_a_bad_query_is_refused(client: httpx.Client, rig: Rig, query: str) -> None:
    env = rig.open_running()
    assert code(client.get(f"{path_of(env)}/{query}")) == (422, "request_invalid")


@pytest.mark.parametrize("call", ["screen", "calls", "trajectory", "artifacts"])
def test_an_environment_that_is_not_there_cannot_be_watched(
    client: httpx.Client, rig: Rig, url: str, call: str
) -> None:
    assert code(client.get(f"/envs/nobodys/{call}")) == (404, "env_not_found")
    env = rig.open_running()
    assert client.get(f"{path_of(env)}/{call}").status_code == 200
    rig.close(env)
    assert client.get(f"{path_of(env)}/{call}").status_code in (404, 410)
    assert httpx.get(f"{url}{path_of(env)}/{call}").status_code == 401


def test_watching_is_answered_while_a_step_runs_and_is_no_use(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running(SLOW)
    step = rig.begin(rig.host.call(env.env_id, "step", typed("x")))
    wait_until(lambda: env.busy)
    before = env.last_activity, env.last_seen, env.busy
    for call in ("screen", "calls", "trajectory", "artifacts?frames=1"):
        assert client.get(f"{path_of(env)}/{call}").status_code == 200
    assert (env.last_activity, env.last_seen, env.busy) == before
    assert not step.done()
    rig.close(env)
    assert step.exception() is not None


def test_a_look_at_a_process_that_stands_still_ends_in_time_and_the_next_recovers(
    client: httpx.Client, rig: Rig
) -> None:
    env = rig.open_running()
    assert look(client, env).status_code == 200
    rig.freeze(env)
    error = rig.begin(Eyes(rig.host, timeout_s=0.2).look(env.env_id, 100, "jpeg")).exception(20)
    assert isinstance(error, RunnerFailed)
    rig.process(env).resume()
    assert look(client, env).status_code == 200
    assert rig.step(env)["info"]["step"] == 0


def test_a_process_that_dies_while_it_is_watched_is_lost(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running()
    rig.freeze(env)
    found = rig.begin(Eyes(rig.host).look(env.env_id, 100, "jpeg"))
    rig.process(env).kill()
    error = found.exception(20)
    assert getattr(error, "code", None) in ("env_lost", "env_not_found")
    wait_until(lambda: env.env_id not in rig.live)
    assert code(look(client, env)) == (410, "env_lost")


def test_a_screen_that_ends_because_its_environment_is_closed_is_no_failure(
    client: httpx.Client, rig: Rig
) -> None:
    env = rig.open_running(DESKTOP)
    (server,) = [each for each in rig.process(env).children(recursive=True) if each.name() == "Xvfb"]
    server.kill()
    assert code(look(client, env)) == (502, "runner_failed")
    env.ending = True
    assert code(look(client, env)) == (410, "env_lost")
    env.ending = False


def test_an_environment_that_hangs_holds_up_no_look_at_another(
    client: httpx.Client, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gym_queue.worker.eye.DRAWN_AT_ONCE", 1)
    monkeypatch.setattr("gym_queue.worker.eye.TURN_S", 0.01)
    hung, other = rig.open_running(), rig.open_running()
    eyes = Eyes(rig.host, timeout_s=60)
    rig.freeze(hung)
    waiting = rig.begin(eyes.look(hung.env_id, 100, "jpeg"))
    wait_until(lambda: hung.looking.locked())
    assert rig.begin(eyes.look(other.env_id, 100, "jpeg")).result(20).body
    assert not waiting.done()
    rig.process(hung).resume()
    assert waiting.result(20).body


def test_too_many_looks_at_once_are_refused(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running()
    eyes = Eyes(rig.host)
    rig.freeze(env)
    looks = [rig.begin(eyes.look(env.env_id, 100, "jpeg")) for _ in range(LOOKS_PER_ENV)]
    wait_until(lambda: eyes._counts[env.env_id] == LOOKS_PER_ENV)
    refused = rig.begin(eyes.look(env.env_id, 100, "jpeg")).exception(20)
    assert getattr(refused, "code", None) == "quota_exceeded"
    rig.process(env).resume()
    assert len({each.result(20).tag for each in looks}) == 1
    assert not eyes._counts


def test_calls_are_told_with_their_requests_errors_and_steps(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running()
    client.post(f"{path_of(env)}/step", json=TYPE, headers={"X-Request-ID": "mine"})
    client.get(f"{path_of(env)}/session_info", headers={"X-Request-ID": "whose"})
    client.post(f"{path_of(env)}/step", json={"actions": [{"mouse": {"no": 1}}]})
    client.post(f"{path_of(env)}/step", json=TYPE)
    look(client, env)
    found = client.get(f"{path_of(env)}/calls").json()
    assert [(each["n"], each["call"], each["step"], each["error_code"]) for each in found["calls"]] == [
        (1, "reset", None, None),
        (2, "step", 0, None),
        (3, "session_info", None, None),
        (4, "step", None, "action_invalid"),
        (5, "step", 1, None),
    ]
    assert [each["request_id"] for each in found["calls"][:3]] == ["r", "mine", "whose"]
    assert [each["ok"] for each in found["calls"]] == [True, True, True, False, True]
    assert found["next"] == 5
    assert [each["n"] for each in client.get(f"{path_of(env)}/calls?after=4").json()["calls"]] == [5]


def test_a_trajectory_goes_on_and_starts_over_with_a_reset(client: httpx.Client, rig: Rig) -> None:
    def events(after: int) -> dict[str, Any]:
        found: dict[str, Any] = client.get(f"{path_of(env)}/trajectory?after={after}").json()
        return found

    env = rig.open_running()
    first = events(0)
    assert [each["event"] for each in first["events"]] == ["reset", "session"]
    rig.step(env)
    second = events(first["next"])
    assert [(each["event"], each["idx"]) for each in second["events"]] == [("step", 0)]
    assert (second["episode"], second["state"], second["next"]) == (first["episode"], "running", 3)
    rig.reset(env)
    third = events(second["next"])
    assert third["episode"] != first["episode"]
    assert (third["events"], third["next"]) == ([], 2)


def test_events_with_any_text_are_told(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running()
    thought = {"event": "thought", "text": "é\n\u2028<b>\x00", "more": {"a": [1, None]}}
    client.post(f"{path_of(env)}/trajectory_event", json={"event": thought})
    client.post(f"{path_of(env)}/trajectory_event", content=b'{"event": {"text": "half \\ud800"}}')
    reply = client.get(f"{path_of(env)}/trajectory?after=2")
    assert reply.headers["content-type"] == "application/json"
    told = reply.json()["events"]
    assert thought.items() <= told[0].items()


def test_listing_the_files_makes_none(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running()
    folder = rig.env_dir(env) / "episodes" / "episode_001"
    before = sorted(folder.iterdir())
    without = client.get(f"{path_of(env)}/artifacts").json()
    assert [each["path"] for each in without["files"]] == ["traj.jsonl"]
    with_frames = client.get(f"{path_of(env)}/artifacts?frames=1").json()["files"]
    assert [each["path"] for each in with_frames] == ["frame_00000.png", "traj.jsonl"]
    assert sorted(folder.iterdir()) == before
    frame = client.get(f"{path_of(env)}/fetch_path?path=frame_00000.png").content
    assert len(frame) == with_frames[0]["size_bytes"]
    again = client.get(f"{path_of(env)}/artifacts?frames=1").json()["files"]
    assert again[0]["modified"] is not None


def display_server(rig: Rig, env: LiveEnv) -> psutil.Process:
    (found,) = [each for each in rig.process(env).children(recursive=True) if each.name() == "Xvfb"]
    return found


@pytest.mark.needs("Xvfb", "xterm")
def test_a_desktop_is_seen_as_it_is_now_and_not_as_it_was_observed(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running(DESKTOP)
    tag = look(client, env).headers["etag"]
    assert look(client, env, tag=tag).status_code == 304
    assert client.put(f"{path_of(env)}/files?path=go", content=b"x").status_code == 200
    wait_until(lambda: look(client, env, tag=tag).status_code == 200)
    rig.reset(env)
    again = look(client, env)
    assert (again.status_code, again.headers["x-screen-size"]) == (200, "320x240")


@pytest.mark.needs("Xvfb", "xterm")
def test_a_desktop_that_dies_is_an_error_until_it_is_reset(client: httpx.Client, rig: Rig) -> None:
    env = rig.open_running(DESKTOP)
    assert look(client, env).status_code == 200
    server = display_server(rig, env)
    server.kill()
    wait_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    wait_until(lambda: look(client, env).status_code == 502)
    assert code(look(client, env)) == (502, "runner_failed")
    rig.reset(env)
    assert look(client, env).status_code == 200
