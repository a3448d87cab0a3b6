"""Links, FIFOs and false records that an environment leaves in its episode's folder: seen live, and from the archive."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from tests.service.hostile.cluster import CLUSTER, FINE, FORBIDDEN, WORKER, verdict
from tests.waiting import wait_until

NOT_THERE = (404, "path_not_found")
PROGRAMS = ("master", "worker")
LINKS = {
    "link": "/etc/passwd",
    "chain": "link",
    "folder_link": "/etc",
    "to_proc": "/proc/self/environ",
    "to_zero": "/dev/zero",
    "to_token": "{token}",
    "loop": "loop",
    "frame_00077.png": "/etc/passwd",
    "recording.mp4": "/etc/passwd",
    "up": "..",
}
SPECIAL = ("fifo", "socket", "frame_00078.png")


def spoil(folder, token):
    """Leave in a folder all that an environment might."""
    for name, target in LINKS.items():
        (folder / name).symlink_to(target.format(token=token))
    for name in ("fifo", "frame_00078.png"):
        os.mkfifo(folder / name)
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(folder)  # a socket's path is short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)


DEEP = b'{"event": "x", "deep": %s%s}\n'
RECORDS = {
    "links": lambda folder, name: (folder / name).symlink_to("/etc/passwd"),
    "links to devices": lambda folder, name: (folder / name).symlink_to("/dev/zero"),
    "FIFOs": lambda folder, name: os.mkfifo(folder / name),
    "folders": lambda folder, name: (folder / name).mkdir(),
    "nothing": lambda folder, name: (folder / name).write_bytes(b""),
    "nonsense": lambda folder, name: (folder / name).write_bytes(b"\xff\x00{]\n" * 500),
    "one line": lambda folder, name: (folder / name).write_bytes(b"{" + b"x" * (12 << 20)),
    "times that never were": lambda folder, name: (folder / name).write_bytes(b'{"ts": 1e14, "event": "x", "reward": 1e999}\n' * 3),
    "times before time": lambda folder, name: (folder / name).write_bytes(b'{"ts": -5e9, "event": "x", "steps": "many"}\n'),
    "numbers of no end": lambda folder, name: (folder / name).write_bytes(b'{"ts": %s, "reward": %s}\n' % (b"9" * 5000, b"9" * 400)),
    "other types": lambda folder, name: (folder / name).write_bytes(b'{"ts": [], "verifier": 5, "error": [], "reason": {}, "session": 1}\n'),
    "UTF-16": lambda folder, name: (folder / name).write_bytes('{"event": "x"}'.encode("utf-16-le") + b"\n"),
    "half characters": lambda folder, name: (folder / name).write_bytes(b'{"event": "\\ud800", "reason": "\\udfff", "verifier": {"feedback": "\\ud800"}}\n'),
    "depth": lambda folder, name: (folder / name).write_bytes(b"".join(DEEP % (b"[" * n, b"]" * n) for n in range(950, 1000))),
}  # fmt: skip


@pytest.fixture(scope="module")
def spoilt(cluster):
    """An environment that has ended, whose episode's folder was full of traps; the episode's addresses."""
    made = cluster.create()
    made.post("reset")
    spoil(made.folder(), cluster.token_file)
    made.post("step", {"mark_done": True})
    assert verdict(made.post("close")) == FINE
    address = f"episodes/{made.env_id}/episode_001"
    return {"master": f"/workers/worker-1/{address}", "worker": f"/{address}"}


def by(cluster, program):
    return cluster.by("operator" if program == "master" else "worker", program)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_archive_follows_no_link_and_waits_for_no_pipe(cluster, spoilt, program):
    http = by(cluster, program)
    found = {
        name: verdict(http.get(f"{spoilt[program]}/file", params={"path": name}))
        for name in (*LINKS, *SPECIAL, "folder_link/passwd", "up/episode.json", "up/../../x")
    }
    assert set(found.values()) <= {FORBIDDEN, NOT_THERE}
    for name in (*LINKS, *SPECIAL):
        assert http.head(f"{spoilt[program]}/file", params={"path": name}).status_code in (403, 404)
    view = http.get(spoilt[program])
    assert verdict(view) == FINE
    assert not {each["path"] for each in view.json()["files"]} & {*LINKS, *SPECIAL}
    assert view.json()["has_video"] is False
    assert "root:" not in view.text


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_running_episode_tells_of_no_link_and_no_pipe(cluster, program):
    made = cluster.create()
    made.post("reset")
    spoil(made.folder(), cluster.token_file)
    listed = made.get("artifacts", program=program, params={"frames": "1"})
    assert not {each["path"] for each in listed.json()["files"]} & {*LINKS, *SPECIAL}
    assert verdict(made.post("close")) == FINE


@pytest.mark.parametrize("what", RECORDS)
def test_no_record_that_was_forged_hides_the_others_or_breaks_anything(cluster, spoilt, what):
    made = cluster.create()
    made.post("reset")
    folder, spoil_file = made.folder(), RECORDS[what]
    for name in ("traj.jsonl", "summary.json", ".frames"):
        (folder / name).unlink(missing_ok=True)
        spoil_file(folder, name)
    for program in PROGRAMS:
        seen = made.get("trajectory", program=program)
        assert verdict(seen) == FINE
        json.loads(seen.content, parse_constant=pytest.fail)
        assert "root:" not in seen.text
        assert verdict(made.get("artifacts", program=program)) == FINE
    assert verdict(made.post("close")) == FINE
    address = f"episodes/{made.env_id}/episode_001"
    for program, target in (("worker", f"/{address}"), ("master", f"/workers/worker-1/{address}")):
        view = by(cluster, program).get(target)
        assert verdict(view) == FINE
        said = json.loads(view.content, parse_constant=pytest.fail)
        assert "root:" not in view.text
        assert 0 <= said["started"] <= said["ended"] <= said["as_of"] + 60
        assert verdict(by(cluster, program).get(f"{target}/file?path=frame_00000.png")) in (
            FINE,
            FORBIDDEN,
            NOT_THERE,
        )
        for name in ("traj.jsonl", "summary.json", ".frames"):
            reply = by(cluster, program).get(f"{target}/file", params={"path": name})
            assert verdict(reply) in (FINE, FORBIDDEN, NOT_THERE)
            assert "root:" not in reply.text

    def page():
        reply = cluster.by("operator").get("/api/episodes", params={"env": made.env_id})
        assert verdict(reply) == FINE
        json.loads(reply.content, parse_constant=pytest.fail)
        assert reply.json()["unreachable"] == []
        return reply.json()["rows"]

    wait_until(page)
    assert not any(secret in str(page()) for secret in (CLUSTER, WORKER, "root:"))
