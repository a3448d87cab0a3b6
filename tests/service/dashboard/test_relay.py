"""What a standalone dashboard hands on to its master: just these calls, as they were written, as itself."""

from __future__ import annotations

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from gym_queue.web.auth import COOKIE
from tests.service.dashboard.conftest import TOKEN, Served, Start

HOSTILE = [
    b"/m/0/../dashboard",
    b"/m/0/api/../metrics",
    b"/m/0/api/..%2Fmetrics",
    b"/m/0/api/%2e%2e/metrics",
    b"/m/0/envs/%2e%2e/%2e%2e/metrics",
    b"/m/0/envs/e1/..;/x",
    b"/m/0/envs/./list",
    b"/m/0//evil.example/api/x",
    b"/m/0/api//x",
    b"/m/0/api/x%00",
    b"/m/0/api/x%0d%0aX-Evil:1",
    b"/m/0/api/x\\..\\y",
    b"/m/0/http://evil.example/",
    b"/m/0@evil.example/api/x",
    b"/m/0:80/api/x",
    b"/m/0%2Fapi/x",
    b"/m/0/API/x",
    b"/m/0/apix",
    b"/m/0/workers",
    b"/m/0/health/x",
    b"//m/0/api/x",
    b"/x/../m/0/metrics",
    b"http://evil.example/m/0/metrics",
    b"/m/0/envs/\xe9/x",
]


def ask(method: bytes, target: bytes, more: bytes = b"") -> bytes:
    return (
        method + b" " + target + b" HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
        b"Authorization: Bearer " + TOKEN.encode() + b"\r\n" + more + b"\r\n"
    )


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_no_hostile_path_reaches_the_master(served: Served, method: bytes) -> None:
    for target in HOSTILE:
        answer = served.raw(ask(method, target, b"Content-Length: 0\r\n"))
        assert answer.split(b" ")[1] in (b"400", b"404", b"405"), (target, answer)
    assert served.master.seen == []


def test_smuggled_requests_reach_nobody(served: Served) -> None:
    inner = ask(b"POST", b"/m/0/envs/create")
    both = b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % (len(inner) + 5)
    served.raw(ask(b"POST", b"/m/0/workers/drain", both) + b"0\r\n\r\n" + inner)
    served.raw(ask(b"GET", b"/m/0/queue", b"Content-Length: %d\r\n" % len(inner)) + inner)
    assert {target for _, target, _ in served.master.seen} <= {"/workers/drain", "/queue"}


def test_the_master_sees_this_program_and_nothing_of_the_browsers_identity(served: Served) -> None:
    told = {
        "Cookie": f"{COOKIE}=x",
        "Origin": served.url,
        "X-Gym-Queue-Page": "1",
        "If-None-Match": '"v1"',
        "Range": "bytes=0-9",
        "X-Forwarded-For": "1.2.3.4",
        "X-Request-ID": "r-1",
    }
    served.http.get("/m/0/api/workers?q=a%2Fb&sort=-used", headers=told)
    ((method, target, headers),) = served.master.seen
    assert (method, target) == ("GET", "/api/workers?q=a%2Fb&sort=-used")
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["host"] == served.master.url.partition("//")[2]
    assert (headers["if-none-match"], headers["range"], headers["x-request-id"]) == (
        '"v1"',
        "bytes=0-9",
        "r-1",
    )
    assert not {"cookie", "origin", "x-gym-queue-page", "x-forwarded-for"} & headers.keys()


def test_what_the_browser_gets_is_what_a_picture_needs_and_no_cookie(served: Served) -> None:
    served.master.headers = {
        "ETag": '"v2"',
        "Content-Type": "image/png",
        "X-Screen-Size": "640x480",
        "X-Frame-At": "12.5",
        "Set-Cookie": f"{COOKIE}=evil",
        "Location": "http://evil.example",
        "Content-Range": "bytes 0-1/9",
    }
    served.master.status, served.master.parts = 206, [b"\x89P"]
    reply = served.http.get("/m/0/envs/e1/screen?width=64")
    assert (reply.status_code, reply.content) == (206, b"\x89P")
    kept = [reply.headers[name] for name in ("etag", "x-screen-size", "x-frame-at", "content-range")]
    assert kept == ['"v2"', "640x480", "12.5", "bytes 0-1/9"]
    assert not {"set-cookie", "location"} & set(reply.headers)
    assert "sandbox" in reply.headers["content-security-policy"]
    served.master.status, served.master.parts = 304, []
    again = served.http.get("/m/0/envs/e1/screen", headers={"If-None-Match": '"v2"'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", '"v2"')


def test_a_live_stream_comes_as_it_is_written_and_ends_at_the_master_when_the_page_goes(
    served: Served,
) -> None:
    served.master.endless = True
    served.master.headers = {"Content-Type": "text/event-stream"}
    served.master.parts = [b"retry: 1000\n\n", b"event: overview\ndata: {}\n\n"]
    with served.http.stream("GET", "/m/0/api/live", headers={"Last-Event-ID": "b-7"}) as stream:
        read = b""
        for part in stream.iter_raw():
            read += part
            if b"overview" in read:
                break
    assert served.master.seen[0][2]["last-event-id"] == "b-7"
    assert served.master.gone.wait(10)


@pytest.mark.parametrize(
    ("options", "asked", "shown"), [({}, "0", "0"), ({}, "1", "1"), ({"read_only": True}, "0", "1")]
)
def test_a_screen_is_watched_with_this_programs_token_and_read_only_nobody_types(
    start: Start, options: dict[str, bool], asked: str, shown: str
) -> None:
    served = start(**options)
    url = f"ws{served.url[4:]}/m/0/envs/e1/vnc?view_only={asked}&ticket=t"
    headers = {"Cookie": f"{COOKIE}={TOKEN}", "Origin": served.url}
    with connect(url, additional_headers=headers, proxy=None) as viewer:
        viewer.send(b"\x00RFB")
        assert viewer.recv(10) == b"\x00RFB"
    assert served.master.gone.wait(10)
    ((_, target, seen),) = served.master.seen
    assert target == f"/envs/e1/vnc?view_only={shown}"
    assert seen["authorization"] == f"Bearer {TOKEN}"
    assert not {"cookie", "origin"} & seen.keys()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/m/0/envs/e1/vnc", {}, 401),
        ("/m/0/envs/e1/vnc?ticket=t", {}, 401),
        ("/m/0/envs/e1/vnc", {"Cookie": f"{COOKIE}={TOKEN}", "Origin": "http://elsewhere.example"}, 403),
        ("/m/7/envs/e1/vnc", {"Authorization": f"Bearer {TOKEN}"}, 404),
    ],
)
def test_nobody_else_watches(served: Served, path: str, headers: dict[str, str], status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws{served.url[4:]}{path}", additional_headers=headers, proxy=None)
    assert refused.value.response.status_code == status
    assert served.master.seen == []


def test_without_a_token_asked_it_only_reads(start: Start) -> None:
    served = start(no_auth=True)
    own = {"X-Gym-Queue-Page": "1", "Origin": served.url}
    assert served.http.post("/m/0/workers/drain", json={"worker_id": "w"}, headers=own).status_code == 403
    assert served.master.seen == []


def test_a_condition_of_any_bytes_is_handed_on_as_it_is(served: Served) -> None:
    answer = served.raw(ask(b"GET", b"/m/0/api/overview", b'If-None-Match: "\xff\xe9"\r\n'))
    assert answer.startswith(b"HTTP/1.1 200")
    (_method, _target, headers) = served.master.seen[-1]
    assert headers["if-none-match"] == '"\xff\xe9"'
