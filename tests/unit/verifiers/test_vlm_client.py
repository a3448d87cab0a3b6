from __future__ import annotations

import base64
import io
import logging
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers.vlm.backends import Picture
from gym_queue.verifiers.vlm.client import ModelClient
from gym_queue.verifiers.vlm.pictures import ALL_BYTES, EDGE_PX, sample, show
from gym_queue.verifiers.vlm.settings import ModelSettings, VariableLookup, read_settings
from tests.unit.verifiers.modelserver import BACKENDS, KEY, ModelServer, Reply, said

PICTURES = [Picture("image/png", b"one"), Picture("image/jpeg", b"two")]
ONE, TWO = (base64.b64encode(data).decode() for data in (b"one", b"two"))
NOW = {"retry-after": "0"}


def client(server: ModelServer, backend: str = "anthropic", **fields: Any) -> ModelClient:
    settings = ModelSettings(
        **{"backend": backend, "model": "m-1", "base_url": server.url, "api_key": SecretStr(KEY), **fields}
    )
    return ModelClient(settings, backoff_s=0)


def ask(server: ModelServer, backend: str = "anthropic", *, timeout_s: float = 30, **fields: Any) -> str:
    return client(server, backend, **fields).ask("what?", PICTURES, timeout_s=timeout_s)


def test_anthropic_is_asked_as_its_api_wants(server: ModelServer) -> None:
    server.say("anthropic", "a cat")
    assert ask(server, "anthropic", temperature=0.5, max_tokens=100) == "a cat"
    (seen,) = server.seen
    assert (seen.path, seen.headers["x-api-key"]) == ("/v1/messages", KEY)
    assert seen.headers["anthropic-version"] == "2023-06-01"
    images = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ONE}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": TWO}},
    ]
    assert seen.body == {
        "model": "m-1",
        "max_tokens": 100,
        "temperature": 0.5,
        "messages": [{"role": "user", "content": [*images, {"type": "text", "text": "what?"}]}],
    }


@pytest.mark.parametrize(("backend", "limit"), [("openai", "max_completion_tokens"), ("local", "max_tokens")])
def test_openai_is_asked_as_its_api_wants(server: ModelServer, backend: str, limit: str) -> None:
    server.say(backend, "a cat")
    assert ask(server, backend, top_p=0.9) == "a cat"
    (seen,) = server.seen
    assert (seen.path, seen.headers["authorization"]) == ("/chat/completions", f"Bearer {KEY}")
    images = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ONE}"}},
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{TWO}"}},
    ]
    assert seen.body == {
        "model": "m-1",
        limit: 8192,
        "top_p": 0.9,
        "messages": [{"role": "user", "content": [*images, {"type": "text", "text": "what?"}]}],
    }


def test_gemini_is_asked_as_its_api_wants(server: ModelServer) -> None:
    server.say("gemini", "a cat")
    assert ask(server, "gemini", model="models/m 1/x", top_p=0.9) == "a cat"
    (seen,) = server.seen
    assert (seen.path, seen.headers["x-goog-api-key"]) == ("/models/m%201%2Fx:generateContent", KEY)
    images = [
        {"inlineData": {"mimeType": "image/png", "data": ONE}},
        {"inlineData": {"mimeType": "image/jpeg", "data": TWO}},
    ]
    assert seen.body == {
        "contents": [{"role": "user", "parts": [*images, {"text": "what?"}]}],
        "generationConfig": {"maxOutputTokens": 8192, "topP": 0.9},
    }


def test_a_server_without_a_key_is_sent_none(server: ModelServer) -> None:
    server.say("local", "a cat")
    assert ask(server, "local", api_key=None) == "a cat"
    assert "authorization" not in server.seen[0].headers


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_a_busy_provider_is_asked_again(server: ModelServer, status: int) -> None:
    busy = Reply({"error": {"message": "overloaded"}}, status, NOW)
    server.replies = [busy, busy, Reply(said("anthropic", "a cat"))]
    assert ask(server) == "a cat"
    assert len(server.seen) == 3


def test_a_provider_that_stays_busy_is_an_error_with_its_reason(server: ModelServer) -> None:
    server.answer = lambda _: Reply({"error": {"message": "rate limit"}}, 429, NOW)
    with pytest.raises(
        VerifierFailed, match=r"m-1 \(anthropic\) did not answer in 3 tries: .* 429: rate limit"
    ):
        ask(server, max_retries=2)
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 301])
def test_what_is_refused_for_good_is_not_sent_again(server: ModelServer, status: int) -> None:
    server.answer = lambda _: Reply({"error": {"message": f"no {KEY}"}}, status)
    with pytest.raises(VerifierFailed, match=rf"cannot be asked: it answered {status}: no \*\*\*"):
        ask(server)
    assert len(server.seen) == 1


def test_a_server_that_is_not_there_is_an_error(server: ModelServer) -> None:
    with pytest.raises(
        VerifierFailed, match=r"did not answer in 2 tries: it cannot be reached: ConnectError"
    ):
        ask(server, base_url="http://127.0.0.1:9", max_retries=1)


def test_a_server_that_hangs_up_is_asked_again(server: ModelServer) -> None:
    cut = Reply(None, raw=b"", headers={"content-length": "10"})
    server.replies = [cut, Reply(said("anthropic", "a cat"))]
    assert ask(server) == "a cat"


@pytest.mark.parametrize("slow", ["head", "retry-after"])
def test_the_deadline_holds_for_all_tries_together(server: ModelServer, slow: str) -> None:
    def answer(_: object) -> Reply:
        if slow == "head":
            server.released.wait()
        return Reply({"error": {"message": "later"}}, 503, {"retry-after": "3600"})

    server.answer = answer
    with pytest.raises(VerifierFailed, match=r"did not answer within 0\.2 s"):
        ask(server, timeout_s=0.2)
    with pytest.raises(VerifierFailed, match=r"did not answer within 0\.1 s.*VLM_TIMEOUT"):
        ask(server, timeout=0.1)


@pytest.mark.parametrize("raw", [b"", b"<html>busy</html>", b'{"choices": [', b"\xff\xfe", b"[" * 100_000])
def test_a_reply_that_is_no_json_is_an_error(server: ModelServer, raw: bytes) -> None:
    server.answer = lambda _: Reply(None, raw=raw)
    with pytest.raises(VerifierFailed, match="answered what is no JSON"):
        ask(server)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("body", [{}, [], None, 3, {"content": 3}, {"choices": []}, {"candidates": [{}]}])
def test_a_reply_of_another_shape_is_an_error(server: ModelServer, backend: str, body: Any) -> None:
    server.answer = lambda _: Reply(body)
    with pytest.raises(VerifierFailed, match="no message of its API"):
        ask(server, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("text", ["", " \n", None])
def test_an_empty_answer_is_an_error(server: ModelServer, backend: str, text: str | None) -> None:
    server.say(backend, text)
    with pytest.raises(VerifierFailed, match="no message of its API"):
        ask(server, backend)


@pytest.mark.parametrize(
    ("backend", "body", "reason"),
    [
        ("anthropic", {"content": [], "stop_reason": "refusal"}, "refused"),
        ("anthropic", {"content": [{"type": "text", "text": "{"}], "stop_reason": "max_tokens"}, "cut short"),
        ("openai", {"choices": [{"message": {"content": None, "refusal": "I can't"}}]}, "refused: I can't"),
        (
            "openai",
            {"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]},
            "refused",
        ),
        ("openai", {"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]}, "cut short"),
        ("gemini", {"promptFeedback": {"blockReason": "SAFETY"}}, "blocked for SAFETY"),
        ("gemini", {"candidates": [{"finishReason": "SAFETY"}]}, "refused"),
        ("gemini", {"candidates": [{"finishReason": "MAX_TOKENS", "content": {"parts": []}}]}, "cut short"),
    ],
)
def test_a_refusal_is_an_error(server: ModelServer, backend: str, body: Any, reason: str) -> None:
    server.answer = lambda _: Reply(body)
    with pytest.raises(VerifierFailed, match=reason):
        ask(server, backend)
    assert len(server.seen) == 1


def test_a_reply_without_end_is_given_up(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_queue.verifiers.vlm.client.REPLY_LIMIT_BYTES", 1 << 20)
    server.answer = lambda _: Reply(None, raw=b" " * (2 << 20))
    with pytest.raises(VerifierFailed, match="more than 1 MB"):
        ask(server)


def test_the_key_is_in_no_log_and_no_repr(server: ModelServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    busy = Reply({"error": {"message": f"bad key {KEY}"}}, 500, NOW)
    server.replies = [busy, Reply(said("anthropic", f"your key is {KEY}"))]
    asked = client(server)
    assert KEY not in asked.ask("what?", [], timeout_s=30)
    assert "answered 500" in caplog.text
    assert KEY not in caplog.text + repr(asked._settings)


def test_it_can_be_asked_from_inside_an_event_loop(server: ModelServer) -> None:
    import asyncio

    async def inside() -> str:
        return ask(server)

    server.say("anthropic", "a cat")
    assert asyncio.run(inside()) == "a cat"


class TestSettings:
    """Where they come from."""

    def read(
        self, given: dict[str, str], spec: dict[str, Any] | None = None, host: dict[str, str] | None = None
    ) -> ModelSettings | None:
        return read_settings(VariableLookup(given, spec or {}, host=host or {}), task="t")

    def test_nothing_named_is_no_model(self) -> None:
        assert self.read({"ANTHROPIC_API_KEY": KEY}) is None

    def test_a_variable_of_the_checklist_comes_before_the_task_and_that_before_the_general_one(self) -> None:
        given = {"VLM_BACKEND": "openai", "VLM_MODEL": "c", "OPENAI_API_KEY": KEY, "VLM_MAX_RETRIES": "7"}
        assert self.read(given).model == "c"  # type: ignore[union-attr]
        assert self.read(given, {"model": "b"}).model == "b"  # type: ignore[union-attr]
        first = self.read({**given, "GYM_ANYTHING_VLM_CHECKLIST_MODEL": "a"}, {"model": "b"})
        assert first is not None
        assert (first.model, first.max_retries, first.backend) == ("a", 7, "openai")

    def test_the_workers_own_variables_come_last(self) -> None:
        host = {"VLM_BACKEND": "gemini", "VLM_MODEL": "g", "GEMINI_API_KEY": KEY}
        found = self.read({"VLM_MODEL": "mine"}, host=host)
        assert found is not None
        assert (found.backend, found.model, found.api_key) == ("gemini", "mine", SecretStr(KEY))

    def test_a_server_alone_is_a_local_one(self) -> None:
        found = self.read({"VLM_BASE_URL": "http://localhost:8080/v1", "VLM_MODEL": "m"})
        assert found is not None
        assert (found.backend, found.api_key) == ("local", None)

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({"VLM_BACKEND": "openai", "OPENAI_API_KEY": KEY}, "none is named: set VLM_MODEL"),
            ({"VLM_BACKEND": "openai", "VLM_MODEL": "m"}, "no key for it: set OPENAI_API_KEY"),
            ({"VLM_BACKEND": "gemini", "VLM_MODEL": "m", "OPENAI_API_KEY": KEY}, "set GEMINI_API_KEY"),
            ({"VLM_BACKEND": "local", "VLM_MODEL": "m"}, "not said where: set VLM_BASE_URL"),
            ({"VLM_BACKEND": "oracle", "VLM_MODEL": "m"}, "backend: Input should be 'anthropic', 'openai'"),
            ({"VLM_BASE_URL": "ftp://x", "VLM_MODEL": "m"}, "base_url: String should match"),
            ({"VLM_BASE_URL": "http://u:p@x", "VLM_MODEL": "m"}, "base_url: String should match"),
            (
                {"VLM_BASE_URL": "http://x", "VLM_MODEL": "m", "VLM_TIMEOUT": "soon"},
                "timeout: Input should be",
            ),
            (
                {"VLM_BASE_URL": "http://x", "VLM_MODEL": "m", "VLM_TIMEOUT": "nan"},
                "timeout: Input should be",
            ),
            (
                {"VLM_BASE_URL": "http://x", "VLM_MODEL": "m", "VLM_MAX_TOKENS": "0"},
                "max_tokens: Input should",
            ),
        ],
    )
    def test_what_is_missing_or_wrong_is_one_sentence(self, given: dict[str, str], reason: str) -> None:
        with pytest.raises(VerifierFailed, match=reason) as caught:
            self.read(given)
        assert KEY not in str(caught.value)

    def test_a_task_cannot_have_a_key_sent_to_a_server_of_its_own(self) -> None:
        given = {"VLM_BACKEND": "openai", "VLM_MODEL": "m", "OPENAI_API_KEY": KEY}
        with pytest.raises(VerifierFailed, match="not by the owner of the key"):
            self.read(given, {"base_url": "https://elsewhere"})
        local = self.read({"VLM_MODEL": "m", "VLM_API_KEY": KEY}, {"base_url": "https://elsewhere"})
        assert local is not None
        assert local.api_key is None

    @pytest.mark.parametrize("where", ["verifier_env", "task"])
    def test_a_client_cannot_have_the_workers_key_sent_elsewhere(self, where: str) -> None:
        host = {"VLM_BACKEND": "openai", "VLM_MODEL": "m", "OPENAI_API_KEY": KEY}
        given = {"VLM_BASE_URL": "https://elsewhere"} if where == "verifier_env" else {}
        spec = {"base_url": "https://elsewhere"} if where == "task" else {}
        with pytest.raises(VerifierFailed, match="not by the owner of the key"):
            self.read(given, spec, host)

    def test_a_key_in_the_tasks_spec_is_not_used(self) -> None:
        with pytest.raises(VerifierFailed, match="set OPENAI_API_KEY"):
            self.read({}, {"backend": "openai", "model": "m", "api_key": KEY})


class TestPictures:
    """What is shown stays within what providers take."""

    def encode(self, size: tuple[int, int], kind: str = "PNG") -> bytes:
        encoded = io.BytesIO()
        Image.effect_noise(size, 200).convert("RGB").save(encoded, kind)
        return encoded.getvalue()

    def test_a_small_image_is_shown_as_it_is(self) -> None:
        data = self.encode((64, 48))
        assert show(data, count=1, what="x") == Picture("image/png", data)
        jpeg = self.encode((64, 48), "JPEG")
        assert show(jpeg, count=1, what="x") == Picture("image/jpeg", jpeg)

    @pytest.mark.parametrize(("size", "count"), [((2400, 1200), 1), ((1280, 720), 100)])
    def test_a_large_image_is_scaled_down(self, size: tuple[int, int], count: int) -> None:
        shown = show(self.encode(size), count=count, what="x")
        assert len(shown.data) * count <= ALL_BYTES
        assert shown.media_type == "image/jpeg"
        with Image.open(io.BytesIO(shown.data)) as image:
            assert max(image.size) <= EDGE_PX

    @pytest.mark.parametrize("data", [b"", b"<svg/>", b"\x89PNG\r\n\x1a\n"])
    def test_what_is_no_image_is_an_error(self, data: bytes) -> None:
        with pytest.raises(VerifierFailed, match="image x cannot be read"):
            show(data, count=1, what="x")

    def test_samples_are_evenly_spaced_with_first_and_last(self) -> None:
        paths = [str(i) for i in range(10)]
        assert sample(paths, 4) == ["0", "3", "6", "9"]
        assert sample(paths, 1) == ["9"]
        assert sample(paths, 20) == paths
