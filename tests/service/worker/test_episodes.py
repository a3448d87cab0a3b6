"""Finished episodes: kept however their environment ended, and served by the worker."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gym_queue.protocol.episodes import EpisodeView
from gym_queue.protocol.sessions import StepRequest
from gym_queue.web.server import HttpServer, bind
from gym_queue.worker.archive import Archive, ArchiveLimits
from gym_queue.worker.http import WorkerIdentity, make_worker_app
from gym_queue.worker.live import HostLimits
from gym_queue.worker.putaway import KeepRule
from tests.service.worker.rig import Rig, hot
from tests.service.worker.test_http import code
from tests.waiting import wait_until

PNG = b"\x89PNG\r\n\x1a\n"
ANYHOW = 0.0
"""Free disk that a test asks for."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    rule = KeepRule(tmp_path_factory.mktemp("archive"), tmp_path_factory.mktemp("leaving"), ANYHOW)
    return Archive("w1", rule, ArchiveLimits())


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, archive: Archive) -> Iterator[Rig]:
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("w"))) / "w"
    rig = Rig(folder, HostLimits(8, 3600, 20, keep=archive.rule))
    rig.start()
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def client(rig: Rig, archive: Archive) -> Iterator[httpx.Client]:
    bound = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    identity = WorkerIdentity("w1", url, None, lambda: "none")
    server = HttpServer(make_worker_app(rig.host, identity, token=None, archive=archive), bound)
    rig.run(server.start())
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield client
    rig.run(server.stop())


def rows(client: httpx.Client, env_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/episodes", params={"env": env_id}).json()["rows"]
    return found


def outcomes(client: httpx.Client, env_id: str) -> list[tuple[str, str, int]]:
    """Return the episodes of an environment, the first one first: name, outcome, frames."""
    found = rows(client, env_id)
    return sorted((row["episode"], row["outcome"], row["frames"]) for row in found)


@pytest.fixture
def finished(rig: Rig) -> str:
    """The address of an episode of three frames that was done."""
    env = rig.open_running()
    rig.step(env)
    rig.call(env, "step", hot(StepRequest(actions=[], mark_done=True)))
    rig.close(env)
    return f"/episodes/{env.env_id}/episode_001"


def test_an_episode_is_kept_when_its_environment_is_closed(rig: Rig, client: httpx.Client) -> None:
    env = rig.open_running()
    rig.step(env)
    assert rows(client, env.env_id) == []
    rig.close(env)
    assert outcomes(client, env.env_id) == [("episode_001", "unfinished", 2)]
    assert not rig.env_dir(env).exists()


def test_an_episode_that_a_reset_ended_is_kept_while_the_environment_lives(
    rig: Rig, client: httpx.Client
) -> None:
    env = rig.open_running()
    rig.step(env)
    rig.reset(env)
    assert outcomes(client, env.env_id) == [("episode_001", "unfinished", 2)]
    rig.close(env)
    assert [each[0] for each in outcomes(client, env.env_id)] == ["episode_001", "episode_002"]


def test_an_episode_is_kept_with_its_frames_when_its_process_is_killed(
    rig: Rig, client: httpx.Client
) -> None:
    env = rig.open_running()
    rig.step(env)
    rig.process(env).send_signal(signal.SIGKILL)
    wait_until(lambda: env.env_id not in rig.live)
    assert outcomes(client, env.env_id) == [("episode_001", "unfinished", 2)]
    frame = client.get(f"/episodes/{env.env_id}/episode_001/file?path=frame_00001.png")
    assert frame.content.startswith(PNG)


def test_episodes_are_kept_when_the_fork_server_is_killed(rig: Rig, client: httpx.Client) -> None:
    env = rig.open_running()
    rig.forkserver().send_signal(signal.SIGKILL)
    wait_until(lambda: env.env_id not in rig.live)
    assert outcomes(client, env.env_id) == [("episode_001", "unfinished", 1)]


def test_an_environment_that_was_never_reset_leaves_no_episode(rig: Rig, client: httpx.Client) -> None:
    env = rig.open()
    rig.close(env)
    assert rows(client, env.env_id) == []


def test_a_worker_that_ends_keeps_what_must_be_copied(short_dir: Path) -> None:
    home = Path("/dev/shm")  # another file system, where there is one
    if not home.is_dir() or home.stat().st_dev == short_dir.stat().st_dev:
        pytest.skip("this machine has one file system")
    folder = home / short_dir.name
    folder.mkdir()
    try:
        rule = KeepRule(folder, short_dir / "w" / "leaving", ANYHOW)
        rig = Rig(short_dir / "w", HostLimits(2, 3600, 20, keep=rule))
        rig.start()
        env = rig.open_running()
        rig.reset(env)
        assert [each.name for each in rule.staging.iterdir()] == [f"{env.env_id}@episode_001"]
        rig.stop()
        assert {each.name[-11:] for each in folder.iterdir()} == {"episode_001", "episode_002"}
    finally:
        shutil.rmtree(folder)


def test_an_episode_whole_is_as_its_schema_says(client: httpx.Client, finished: str) -> None:
    view = EpisodeView.model_validate_json(client.get(finished).content)
    assert (view.outcome, view.reason, view.steps) == ("unjudged", "Agent Completed", 2)
    assert view.frames == [0, 1, 2]
    assert [event["event"] for event in view.events] == ["reset", "session", "step", "step", "finalize"]
    assert {file.path for file in view.files} == {"summary.json", "traj.jsonl"}


@pytest.mark.parametrize("path", ["frame_00001.png", "traj.jsonl"])
def test_a_file_is_served_whole_in_ranges_and_only_once(
    client: httpx.Client, finished: str, path: str
) -> None:
    params = {"path": path}
    whole = client.get(f"{finished}/file", params=params)
    size = len(whole.content)
    assert whole.headers["Content-Length"] == str(size)
    part = client.get(f"{finished}/file", params=params, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, whole.content[2:6])
    assert part.headers["Content-Range"] == f"bytes 2-5/{size}"
    tag = whole.headers["ETag"]
    assert client.get(f"{finished}/file", params=params, headers={"If-None-Match": tag}).status_code == 304
    other = client.get(f"{finished}/file", params=params, headers={"Range": "bytes=2-5", "If-Range": '"x"'})
    assert (other.status_code, other.content) == (200, whole.content)
    head = client.head(f"{finished}/file", params=params)
    assert (head.headers["Content-Length"], head.content) == (str(size), b"")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("traj.jsonl", "application/x-ndjson"),
        ("summary.json", "text/plain; charset=utf-8"),
        ("frame_00000.png", "image/png"),
        ("page.html", "application/octet-stream"),
        ("drawing.svg", "application/octet-stream"),
    ],
)
def test_a_browser_runs_nothing_of_what_is_served(
    client: httpx.Client, archive: Archive, finished: str, name: str, kind: str
) -> None:
    _, _, env_id, episode = finished.split("/")
    if not name.startswith(("frame", "traj", "summary")):
        (archive.files(env_id, episode) / name).write_text("<script>alert(1)</script>")
    reply = client.get(f"{finished}/file", params={"path": name})
    assert reply.headers["Content-Type"] == kind
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("../episode.json", (403, "forbidden")),
        ("/etc/passwd", (403, "forbidden")),
        ("frame_00099.png", (404, "path_not_found")),
        (".", (404, "path_not_found")),
        ("\0", (404, "path_not_found")),
        ("x" * 5000, (422, "request_invalid")),
    ],
)
def test_what_is_no_file_of_the_episode_is_not_served(
    client: httpx.Client, finished: str, path: str, expected: tuple[int, str]
) -> None:
    assert code(client.get(f"{finished}/file", params={"path": path})) == expected


def test_a_link_out_of_the_episode_leads_nowhere(
    client: httpx.Client, archive: Archive, finished: str
) -> None:
    _, _, env_id, episode = finished.split("/")
    (archive.files(env_id, episode) / "out").symlink_to("/etc/passwd")
    assert code(client.get(f"{finished}/file?path=out")) == (403, "forbidden")


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=501", "limit=x", "limit=1&limit=1", "before=nan", "before=-1", "before=1e999"),
        *("outcome=good", f"env={'x' * 201}"),
    ],
)
def test_a_query_that_cannot_be_is_refused(client: httpx.Client, query: str) -> None:
    assert code(client.get(f"/episodes?{query}")) == (422, "request_invalid")


@pytest.mark.parametrize("path", ["/episodes/a b/episode_001", "/episodes/e1/x", "/episodes/e1/episode_001x"])
def test_a_name_that_is_none_is_refused(client: httpx.Client, path: str) -> None:
    assert code(client.get(path)) == (422, "request_invalid")


def test_a_worker_that_keeps_none_has_none(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig()
    transport = httpx.ASGITransport(
        make_worker_app(rig.host, WorkerIdentity("w1", "http://w", None, lambda: "none"), token=None)
    )

    async def ask(path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://w") as client:
            return await client.get(path)

    assert rig.run(ask("/episodes")).json()["rows"] == []
    assert rig.run(ask("/episodes/e1/episode_001")).json()["code"] == "path_not_found"
    env = rig.open_running()
    assert not (Path(rig.call(env, "episode_dir")) / ".frames").exists()
    rig.close(env)
