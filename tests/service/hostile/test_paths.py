"""Paths that lead out of the episode folder, in every spelling, by way of the master and of the worker."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.service.hostile.cluster import CLUSTER, FORBIDDEN, INVALID, UNAUTHORIZED, Cluster, Env, verdict

NOT_THERE = (404, "path_not_found")
PROGRAMS = ("master", "worker")

OUTSIDE = {
    "plain": "../../../../../../../../etc/passwd",
    "from below": "a/../../../../../../etc/passwd",
    "absolute": "/etc/passwd",
    "its variables": "/proc/self/environ",
    "its memory": "/proc/self/mem",
    "its descriptors": "/proc/self/fd/0",
    "its root": "/proc/self/root/etc/passwd",
    "a device": "/dev/zero",
    "the terminal": "/dev/tty",
    "the token": "{token}",
    "its own folder": "..",
    "a link": "link",
    "a link to a link": "chain",
    "a link to a folder": "folder_link/passwd",
    "a link to its variables": "to_proc",
    "a link to a device": "to_zero",
    "a link to the token": "to_token",
}
NOWHERE = {
    "encoded twice": "%252e%252e/%252e%252e/etc/passwd",
    "backslashes": "..\\..\\..\\etc\\passwd",
    "a NUL": "frame_00000.png\0/../../etc/passwd",
    "empty": "",
    "the folder itself": ".",
    "a user's home": "~root/.bashrc",
    "a URL": "file:///etc/passwd",
    "a name too long": "x" * 300,
    "a path too long": "x/" * 2000,
    "a loop": "loop",
    "a dangling link": "dangling",
    "half a character": "\udcff",
    "other characters": "\uff0e\uff0e/\uff0e\uff0e/etc/passwd",
}


@pytest.fixture(scope="module")
def episode(cluster: Cluster, env: Env) -> Path:
    """The episode's folder, with every link and special file an agent could make there."""
    folder = env.folder()
    for name, target in (
        ("link", "/etc/passwd"),
        ("chain", "link"),
        ("folder_link", "/etc"),
        ("to_proc", "/proc/self/environ"),
        ("to_zero", "/dev/zero"),
        ("to_token", str(cluster.token_file)),
        ("loop", "loop"),
        ("dangling", "nothing"),
    ):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "fifo")
    (folder / "folder").mkdir()
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(folder)  # a socket's path is short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
    return folder


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("what", OUTSIDE)
def test_a_path_that_leads_out_is_forbidden(cluster, env, episode, program, what):
    path = OUTSIDE[what].format(token=cluster.token_file)
    asked = {
        "fetch": env.get("fetch_path", params={"path": path}, program=program),
        "copy in": env.post("copy_to_env", {"host_src": path, "container_dst": "x"}, program=program),
        "copy out": env.post("copy_from_env", {"container_src": ".", "host_dst": path}, program=program),
        "out of the sandbox": env.post("copy_from_env", {"container_src": "/etc/passwd", "host_dst": "x"}, program=program),
        "beside the sandbox": env.post("copy_to_env", {"host_src": "frame_00000.png", "container_dst": "../x"}, program=program),
    }  # fmt: skip
    assert {name: verdict(reply) for name, reply in asked.items()} == dict.fromkeys(asked, FORBIDDEN)
    assert "root:" not in "".join(reply.text for reply in asked.values())


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("what", NOWHERE)
def test_a_path_that_leads_nowhere_is_not_found(env, episode, program, what):
    raw = NOWHERE[what].encode("utf-8", "surrogateescape")
    found = verdict(env.get("fetch_path", params={"path": raw}, program=program))
    assert found in (NOT_THERE, FORBIDDEN)
    if not {"\0", "\udcff"} & set(NOWHERE[what]):
        body = {"host_src": NOWHERE[what], "container_dst": "x"}
        if what not in ("empty", "the folder itself"):  # a folder is copied whole
            assert verdict(env.post("copy_to_env", body, program=program)) in (NOT_THERE, FORBIDDEN)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", ["fifo", "socket", "folder"])
def test_what_is_no_file_is_refused_and_never_waited_for(env, episode, program, name):
    assert verdict(env.get("fetch_path", params={"path": name}, program=program)) == NOT_THERE
    if name != "folder":
        body = {"host_src": name, "container_dst": "x"}
        assert verdict(env.post("copy_to_env", body, program=program)) == FORBIDDEN


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    "spelling",
    [
        "fetch_path?path=%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "fetch_path?path=%252e%252e%252fetc%252fpasswd",
        "fetch_path?path=..%c0%af..%c0%afetc/passwd",
        "fetch_path?path=frame_00000.png&path=/etc/passwd",
        "fetch_path%3fpath=/etc/passwd",
        "fetch_path/../../../../etc/passwd",
        "fetch_path/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "%2e%2e/%2e%2e/workers/list",
        "..%2f..%2fworkers%2flist",
        "..%252f..%252fworkers%252flist",
        "../list",
        "./../list",
        "files?path=/etc/passwd",
        "files?path=../../x",
    ],
)
def test_no_spelling_of_a_target_leads_elsewhere(env, episode, program, spelling):
    reply = env.raw("GET", spelling, program=program)
    assert reply.split(b" ")[1] in (b"400", b"401", b"403", b"404", b"405", b"422")
    assert b"root:" not in reply
    assert b'"workers"' not in reply


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("path", [*list(OUTSIDE.values())[:4], "frame_00000.png"])
def test_without_a_token_no_path_is_looked_at(cluster, env, program, path):
    for method, call in (("GET", "fetch_path"), ("GET", "files"), ("PUT", "files"), ("HEAD", "fetch_path")):
        target = f"/envs/{env.env_id}/{call}"
        reply = cluster.by("none", program).request(method, target, params={"path": path})
        assert reply.status_code == 401
        if method != "HEAD":
            assert verdict(reply) == UNAUTHORIZED


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_file_that_is_swapped_for_a_link_while_it_is_fetched_gives_nothing_away(env, episode, program):
    (episode / "safe").write_text("safe")
    seen = set()
    for round_number in range(60):
        swapped = episode / "swapped"
        swapped.unlink(missing_ok=True)
        swapped.symlink_to("safe" if round_number % 2 else "to_token")
        reply = env.get("fetch_path", params={"path": "swapped"}, program=program)
        assert CLUSTER not in reply.text
        seen.add(reply.status_code)
    assert seen == {200, 403}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_path_that_is_missing_or_no_text_is_invalid(env, program):
    assert verdict(env.get("fetch_path", program=program)) == INVALID
    assert verdict(env.get("fetch_path", params={"path": "x" * 5000}, program=program)) == INVALID
