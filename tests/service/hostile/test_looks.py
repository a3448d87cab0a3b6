"""What the dashboard reads, asked by everybody and in every wrong way: typed errors, and nothing changes."""

from __future__ import annotations

import json
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from tests.service.hostile.cluster import FINE, FORBIDDEN, INVALID, UNAUTHORIZED, small, verdict
from tests.service.hostile.looks import ENV, LISTS, LOOKS, rows

PROGRAMS = ("master", "worker")
ASKERS = {"master": "operator", "worker": "worker"}
MARKUP = "</script><img src=x onerror=alert(1)>'\"&{{7*7}}\u2028\N{SNOWMAN}"
NUMBERS = (
    "",
    " ",
    "-1",
    "+1",
    "1.5",
    "1e3",
    "0x1",
    "ten",
    "NaN",
    "Infinity",
    "1_0",
    "\u0661",
    "9" * 400,
    "1\0",
)
TEXTS = ("\0", "\u202e", "%00", "' OR 1=1 --", MARKUP, "\\", "*", "../..", "$(id)", "\r\nX-Evil: 1")
REFUSED = (b"400", b"401", b"403", b"404", b"405", b"422")


@pytest.fixture(scope="module")
def past(cluster):
    """The id of an environment that has ended, with an episode."""
    made = cluster.create()
    made.post("reset")
    made.post("step", {"mark_done": True})
    assert verdict(made.post("close")) == FINE
    return made.env_id


@pytest.fixture(scope="module")
def target(env, past):
    def of(name, program="master"):
        return LOOKS[name].target(program, env_id=env.env_id, past_id=past)

    return of


@pytest.fixture(scope="module")
def asker(cluster, env):
    def by(caller, program="master"):
        return env.client("worker") if caller == "own" else cluster.by(caller, program)

    return by


def test_every_call_opens_to_those_alone_who_may(asker, target):
    def ask(row):
        name, program, caller, _ = row
        return verdict(asker(caller, program).get(target(name, program)))

    table = rows()
    with ThreadPoolExecutor(8) as threads:  # side by side: each wrong token waits longer
        found = dict(zip(table, threads.map(ask, table), strict=True))
    assert {row: said for row, said in found.items() if said != row[3]} == {}


def test_the_live_feed_opens_to_those_alone_who_may(asker):
    found = {}
    for caller in ("operator", "page", "client", "worker", "metrics", "none"):
        with asker(caller).stream("GET", "/api/live") as reply:
            found[caller] = reply.status_code
    refused = dict.fromkeys(("client", "worker", "metrics"), 403)
    assert found == {"operator": 200, "page": 200, **refused, "none": 401}
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        assert asker("operator").request(method, "/api/live").status_code == 405


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("another page", UNAUTHORIZED),
        ("none", UNAUTHORIZED),
        ("client", FORBIDDEN),
        ("worker", FORBIDDEN),
        ("metrics", FORBIDDEN),
        ("page", FINE),
        ("operator", FINE),
    ],
)
def test_a_create_is_given_up_by_those_alone_who_may(cluster, env, caller, expected):
    reply = cluster.by(caller).post(f"/api/tasks/{env.env_id}/revoke")
    assert verdict(reply) == expected
    assert verdict(env.post("keepalive")) == FINE  # it was answered long ago: nothing is left to give up


@pytest.mark.parametrize(
    "marks",
    [
        {},
        {"X-Gym-Queue-Page": "1"},
        {"X-Gym-Queue-Page": "1", "Origin": "null"},
        {"X-Gym-Queue-Page": "1", "Origin": "http://evil.example"},
        {"X-Gym-Queue-Page": "0", "Origin": "{own}"},
        {"Origin": "{own}"},
        {"X-Gym-Queue-Page": "1", "Origin": "{own}", "Sec-Fetch-Site": "same-site"},
        {"X-Gym-Queue-Page": "1", "Sec-Fetch-Site": "cross-site"},
        {"X-Gym-Queue-Page": "1", "Origin": "{own}.evil.example"},
    ],
)
def test_no_other_page_acts_by_the_cookie(cluster, env, marks):
    own = cluster.url("master")
    headers = {name: value.format(own=own) for name, value in marks.items()}
    headers["Cookie"] = cluster.by("another page").headers["cookie"]
    calls = ("close", "vnc_ticket")
    paths = (
        *(f"/envs/{env.env_id}/{call}" for call in calls),
        "/api/tasks/x/revoke",
        "/workers/drain",
        "/workers/undrain",
    )
    for path in paths:
        address = f"127.1.{secrets.randbelow(250)}.{secrets.randbelow(250) + 1}"  # each its own: wrong tokens cost time by address
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as http:
            reply = http.post(own + path, json={"worker_id": "worker-1"}, headers=headers)
            assert verdict(reply) == UNAUTHORIZED, path


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_other_method_does_anything(asker, target, program):
    http = asker(ASKERS[program], program)
    found = {}
    for name, look in LOOKS.items():
        if not look.target(program, env_id="e", past_id="p"):
            continue
        for method in ("PUT", "POST", "DELETE", "PATCH", "OPTIONS"):
            reply = http.request(method, target(name, program), json={})
            found[name, method] = (*verdict(reply), reply.headers.get("allow"))
        assert http.head(target(name, program)).status_code in (200, 405), name
    assert {each: said for each, said in found.items() if said != (405, "method_not_allowed", "GET")} == {}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_body_that_nobody_asked_for_changes_nothing(asker, target, program):
    http = asker(ASKERS[program], program)
    for name, look in LOOKS.items():
        if look.target(program, env_id="e", past_id="p"):
            for body in (b"{", b"\0" * 4096, b'{"limit": -1}'):
                reply = http.request("GET", target(name, program), content=body)
                assert verdict(reply) == FINE, name


@pytest.mark.parametrize("name", [*LISTS, "episodes", "logs/{env_id}"])
def test_a_number_that_is_none_is_refused(asker, target, name):
    keys = {"episodes": ("limit", "before"), "logs/{env_id}": ("limit",)}.get(name, ("limit", "offset"))
    http = asker("operator")
    taken = {
        (key, value)
        for key in keys
        for value in NUMBERS
        if verdict(http.get(target(name), params={key: value})) != INVALID
    }
    assert {value for _, value in taken} <= {"+1", "1_0", "1.5", "1e3"}  # which are numbers to some  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_number_for_an_environment_that_is_none_is_refused(asker, target, program):
    http = asker(ASKERS[program], program)
    for name, key in (
        ("screen", "width"),
        ("calls", "after"),
        ("trajectory", "after"),
        ("trajectory", "limit"),
        ("logs", "limit"),
    ):
        for value in ("", "-1", "1.5", "ten", "NaN", "9" * 400, "1\0"):
            reply = http.get(target(f"env's {name}", program), params={key: value})
            assert verdict(reply) == INVALID, (name, key, value)
    for key, value in (("format", "gif"), ("format", ""), ("format", "../png"), ("width", "100000000")):
        assert verdict(http.get(target("env's screen", program), params={key: value})) == INVALID  # fmt: skip


@pytest.mark.parametrize("name", [*LISTS, "episodes"])
def test_any_text_is_looked_for_and_no_text_breaks_anything(asker, target, name):
    http = asker("operator")
    for text in TEXTS:
        for key in ("q", "worker", "owner", "env", "task"):
            assert verdict(http.get(target(name), params={key: text})) == FINE, (key, text)
        for key in ("sort", "state", "status", "runner", "outcome"):
            assert verdict(http.get(target(name), params={key: text})) in (FINE, INVALID), (key, text)
    for raw in ("?q=%ff%fe", "?q", "?&&=&=", "?q=%", "?" + "a=b&" * 900):
        assert verdict(http.get(target(name) + raw)) == FINE, raw[:20]
    for raw in ("?limit=1&limit=1", f"?{'worker' if name == 'episodes' else 'q'}={'x' * 5000}"):
        assert verdict(http.get(target(name) + raw)) == INVALID, raw[:20]


@pytest.mark.parametrize(
    "path",
    [
        "/workers/../episodes/{past}/episode_001",
        "/workers/%2e%2e/episodes/{past}/episode_001",
        "/workers/worker-1/episodes/../../../etc",
        "/workers/worker-1/episodes/%2e%2e/episode_001",
        "/workers/worker-1/episodes/{past}/..",
        "/workers/worker-1/episodes/{past}/%2e%2e",
        "/workers/worker-1/episodes/{past}/episode_001%2f..%2f..",
        "/workers/worker-1/episodes/{past}%2fepisode_001/episode_001",
        "/workers/worker-1/episodes//episode_001",
        "/workers/worker-1//episodes/{past}/episode_001",
        "/workers/worker-1/episodes/{past}/episode_001%00",
        "/workers/worker-1/episodes/{past}/episode_1",
        "/workers/worker-1/episodes/{past}/EPISODE_001",
        "/workers/worker-1/episodes/{past}@x/episode_001",
        "/workers/worker-1@evil.example/episodes/{past}/episode_001",
        "/workers/worker-1%40evil.example%3a80/episodes/{past}/episode_001",
        "/workers/worker-1%3f/episodes/{past}/episode_001",
        "/workers/worker-1%23/episodes/{past}/episode_001",
        "/workers/%e2%98%83/episodes/{past}/episode_001",
        "/workers/worker-1/episodes/{past}/episode_001/file?path=..%2fepisode.json",
        "/workers/worker-1/episodes/{past}/episode_001/file?path=%2fetc%2fpasswd",
        "/workers/worker-1/episodes/{past}/episode_001/file?path=%00",
        "/workers/worker-1/episodes/{past}/episode_001/file?path=%ff",
        "/workers/worker-1/episodes/{past}/episode_001/file?path=",
        "/workers/worker-1/episodes/{past}/episode_001/file?path=.",
        "/workers/worker-1/episodes/{past}/episode_001/file",
        "/workers/worker-1/episodes/{past}/episode_001/file?path=frame_00000.png&path=/etc/passwd",
        "/workers/worker-1/episodes/{past}/episode_001/file/../../x",
        "/api/tasks/..%2f..%2fworkers%2flist",
        "/api/logs/..%2fx",
        "/api/logs/%00",
        "/api/tasks/" + "x" * 5000,
        "/api/../workers/list/x",
        "/envs/{env}/screen/../../x",
        "/envs/{env}%2f..%2fx/screen",
        "/envs/{env}/screen%3fwidth=16",
        "/dashboard/../etc/passwd",
        "/dashboard/%2e%2e/pages.py",
        "/dashboard/..%2f..%2fpages.py",
        "/dashboard/%00",
    ],
)  # fmt: skip
def test_no_spelling_of_an_address_leads_elsewhere(cluster, env, past, path):
    target = path.format(past=past, env=env.env_id)
    reply = raw(cluster, target)
    assert reply.split(b" ")[1] in REFUSED
    assert b"root:" not in reply
    assert b"def " not in reply


def test_the_login_is_no_page(cluster):
    reply = cluster.by("none").get("/dashboard/login")
    assert (*verdict(reply), reply.headers["allow"]) == (405, "method_not_allowed", "POST")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", ["file", "env's screen"])
def test_no_condition_and_no_range_breaks_a_reply(asker, target, program, name):
    values = ("bytes=0-99999999999999999999", "bytes=-", "bytes=5-2", "bytes=0-0,2-3", "x" * 4000, "bytes=-5")
    tags = ("*", '"', '""', "W/", "\xff", '"' * 3000, ",,,", '"a", "b"')
    http = asker(ASKERS[program], program)
    for header, each in (
        ("Range", values),
        ("If-None-Match", tags),
        ("If-Range", tags),
        ("If-Modified-Since", tags),
    ):
        for value in each:
            headers = {header: value.encode("latin-1")}
            assert http.get(target(name, program), headers=headers).status_code in (200, 206, 304), (
                header,
                value,
            )
    both = {"Range": "bytes=0-3", "If-None-Match": "*", "If-Range": "*", "Accept-Encoding": "gzip"}
    assert http.get(target(name, program), headers=both).status_code in (200, 206, 304)  # fmt: skip


def test_markup_is_told_as_what_it_is(cluster, asker):
    body = {"env_spec": {**small(), "id": MARKUP}, "metadata": {MARKUP: MARKUP}, "task_id": None}
    reply = cluster.by("client").post("/envs/create", json=body)
    if reply.status_code == 201:
        env_id = reply.json()["env_id"]
        for name in ("envs", "tasks", f"tasks/{env_id}", f"logs/{env_id}", "queue"):
            said = asker("operator").get(f"/api/{name}")
            assert verdict(said) == FINE
            assert said.headers["content-type"] == "application/json"
            json.loads(said.content)
        assert verdict(cluster.by("client").post(f"/envs/{env_id}/close")) == FINE
    else:
        assert verdict(reply) == INVALID


@pytest.mark.parametrize("name", ENV)
def test_looking_is_no_use_of_an_environment(cluster, env, name):
    idle = (
        cluster.by("worker", "worker").get("/envs/list").json()["environments"][env.env_id]["last_activity"]
    )
    assert verdict(env.get(name)) == FINE
    after = (
        cluster.by("worker", "worker").get("/envs/list").json()["environments"][env.env_id]["last_activity"]
    )
    assert after == idle


def raw(cluster, target):
    """Ask the master by an address as it is written; return all that comes back."""
    where = urlsplit(cluster.url("master"))
    head = f"GET {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {cluster.tokens['operator']}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=15) as connection:
        connection.sendall(head.encode("latin-1"))
        return b"".join(iter(lambda: connection.recv(65536), b""))
