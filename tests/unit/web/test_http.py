"""Tokens, errors and request ids, as a caller of a small app over them sees them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI, HTTPException, Request
from httpx import Client, Response
from starlette.types import ASGIApp

from gym_queue.errors import EnvNotFound, NoCapacity
from gym_queue.protocol.sessions import ResetRequest
from gym_queue.web.auth import COOKIE, TokenMiddleware, same_token
from gym_queue.web.errors import install_error_handlers
from gym_queue.web.requestid import RequestIdMiddleware
from gym_queue.web.server import HttpServer, LoopThread, bind

TOKEN = "the-token"


def make_app() -> FastAPI:
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/health")
    @app.post("/act")
    async def plain(request: Request) -> dict[str, str]:
        return {"request_id": request.scope["request_id"]}

    @app.post("/reset")
    async def reset(request: ResetRequest) -> dict[str, object]:
        return request.model_dump()

    @app.get("/raise/{what}")
    async def fail(what: str) -> None:
        raise {
            "missing": EnvNotFound("no environment \ud800", {"env_id": "e"}),
            "full": NoCapacity("no worker is free", {"retry_after_s": 2.4, "unplaceable": {}}),
            "teapot": HTTPException(418, "short and stout"),
            "bug": ValueError("the secret of the traceback"),
        }[what]

    return app


@contextmanager
def serving(app: ASGIApp) -> Iterator[Client]:
    """Serve an app on a free port, and yield a client of it."""
    bound = bind("127.0.0.1", 0)
    thread, server = LoopThread(), HttpServer(app, bound)
    thread.start()
    thread.run(server.start(), timeout_s=10)
    with Client(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}") as client:
        yield client
    thread.run(server.stop(), timeout_s=10)
    thread.stop()


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    guarded = TokenMiddleware(make_app(), check=lambda path, given: same_token(given, TOKEN))
    with serving(RequestIdMiddleware(guarded, timing_header="X-Took")) as client:
        yield client


AUTH = {"Authorization": f"Bearer {TOKEN}"}


def raw(header: str | bytes) -> bytes:
    return header if isinstance(header, bytes) else header.encode()


def error_of(reply: Response, status: int, code: str) -> str:
    body = reply.json()
    assert (reply.status_code, body["code"]) == (status, code)
    assert body["request_id"] == reply.headers["X-Request-ID"]
    return str(body["error"])


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN}"])
def test_a_bearer_header_opens(client: Client, header: str) -> None:
    assert client.post("/act", headers={"Authorization": header}).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", TOKEN, f"Basic {TOKEN}", "Bearer wrong", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
     b"Bearer \xff\xfe", "Bearer tök".encode(), f"Bearer {TOKEN} {TOKEN}"],
)  # fmt: skip
def test_every_other_header_is_refused(client: Client, header: str | bytes) -> None:
    reply = client.get("/x", headers=[(b"Authorization", raw(header))])
    assert "Authorization: Bearer" in error_of(reply, 401, "unauthorized")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_refusal_says_whether_a_token_came(client: Client) -> None:
    assert client.post("/act").json()["error"].startswith("no token was sent")
    wrong = client.post("/act", headers={"Authorization": "Bearer x"})
    assert wrong.json()["error"].startswith("the token is wrong")


def test_what_is_served_is_not_told_without_a_token(client: Client) -> None:
    assert client.get("/nothing").status_code == client.get("/act").status_code == 401


def test_the_cookie_opens_calls_that_read_and_none_that_act(client: Client) -> None:
    cookie = {"Cookie": f"a=b; {COOKIE}={TOKEN}"}
    assert client.get("/raise/missing", headers=cookie).status_code == 404
    assert client.head("/nothing", headers=cookie).status_code == 404
    assert client.post("/act", headers=cookie).status_code == 401
    assert client.get("/x", headers={"Cookie": f"{COOKIE}=wrong"}).status_code == 401


def test_open_paths_need_no_token_and_their_neighbours_do(client: Client) -> None:
    assert client.get("/health").status_code == 200
    for path in ("/health/", "/health/x", "//health", "/Health", "/x/../health/y"):
        assert client.get(path).status_code == 401


def test_without_a_check_everybody_is_let_in() -> None:
    with serving(RequestIdMiddleware(TokenMiddleware(make_app(), check=None))) as client:
        assert client.post("/act").status_code == 200


@pytest.mark.parametrize("token", ["", "the-tokeN", "the-token\n", "é", "\udcff", "x" * 100_000])
def test_tokens_that_differ_are_not_the_same(token: str) -> None:
    assert same_token(TOKEN, TOKEN)
    assert not same_token(token, TOKEN)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed"),
        (b'{"seed": 1,}', 400, "malformed"),
        (b"\xff\xfe\x00", 400, "malformed"),
        (b"[" * 100_000, 400, "malformed"),
        (b"", 422, "request_invalid"),
        (b"[]", 422, "request_invalid"),
        (b"null", 422, "request_invalid"),
        (b'"x"', 422, "request_invalid"),
        (b'{"seed": "x"}', 422, "request_invalid"),
        (b'{"seed": NaN}', 422, "request_invalid"),
        (b'{"cache_level": "\\ud800"}', 422, "request_invalid"),
        (b'{"seed": 1' + b"0" * 4000 + b"}", 422, "request_invalid"),
    ],
)
def test_a_bad_body_is_the_callers_error(client: Client, body: bytes, status: int, code: str) -> None:
    reply = client.post("/reset", content=body, headers={**AUTH, "Content-Type": "application/json"})
    assert error_of(reply, status, code)


def test_a_number_of_more_digits_than_python_reads_is_the_callers_error(client: Client) -> None:
    headers = {**AUTH, "Content-Type": "application/json"}
    reply = client.post("/reset", content=b'{"seed": ' + b"1" * 5000 + b"}", headers=headers)
    assert 400 <= reply.status_code < 500


def test_a_wrong_field_is_named(client: Client) -> None:
    reply = client.post("/reset", json={"seed": "x", "use_cache": 7}, headers=AUTH)
    text = error_of(reply, 422, "request_invalid")
    assert text.startswith("seed: ")
    assert text.endswith("(and 1 more)")
    assert reply.json()["key"] == "seed"


def test_an_unknown_path_and_method_are_told(client: Client) -> None:
    assert "GET /nothing" in error_of(client.get("/nothing", headers=AUTH), 404, "not_found")
    assert "PUT /reset" in error_of(client.put("/reset", headers=AUTH), 405, "method_not_allowed")


def test_an_error_of_ours_crosses_as_itself(client: Client) -> None:
    reply = client.get("/raise/missing", headers=AUTH)
    assert error_of(reply, 404, "env_not_found") == "no environment \ud800"
    assert reply.json()["env_id"] == "e"


def test_retry_after_is_a_header_too(client: Client) -> None:
    reply = client.get("/raise/full", headers=AUTH)
    assert error_of(reply, 503, "no_capacity") == "no worker is free"
    assert reply.headers["Retry-After"] == "2"


def test_another_http_error_keeps_its_status(client: Client) -> None:
    assert "short and stout" in error_of(client.get("/raise/teapot", headers=AUTH), 418, "internal")


def test_a_bug_is_logged_and_not_shown(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "gym_queue"):
        reply = client.get("/raise/bug", headers=AUTH)
    assert "bug of ours" in error_of(reply, 500, "internal")
    assert "secret" not in reply.text
    assert "Traceback" not in reply.text
    assert caplog.text.count("ValueError: the secret of the traceback") == 1


def test_a_bug_leaves_the_connection_as_it_is(client: Client) -> None:
    def ports() -> list[str]:
        traces: list[str] = []
        extensions = {"trace": lambda name, info: traces.append(name)}
        client.get("/raise/bug", headers=AUTH, extensions=extensions)
        return traces

    ports()
    assert "connection.connect_tcp.started" not in ports()


@pytest.mark.parametrize("given", ["abc", "A-1.2:3_4", "x" * 128])
def test_a_safe_request_id_is_kept(client: Client, given: str) -> None:
    reply = client.get("/health", headers={"X-Request-ID": given})
    assert reply.json()["request_id"] == reply.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "a\tb", b"\xff", "a;b", '"', "a/b"])
def test_a_hostile_request_id_is_replaced(client: Client, given: str | bytes) -> None:
    reply = client.get("/health", headers=[(b"X-Request-ID", raw(given))])
    assert len(reply.headers["X-Request-ID"]) == 32
    assert reply.json()["request_id"] == reply.headers["X-Request-ID"]


def test_each_request_has_an_id_of_its_own_and_says_how_long_it_took(client: Client) -> None:
    first, second = client.get("/health"), client.get("/health")
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert 0 <= float(first.headers["X-Took"]) < 60
