"""A server that speaks the three providers' APIs, and answers what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-the-key-of-the-test"
BACKENDS = ("anthropic", "openai", "gemini", "local")


@dataclass
class Seen:
    """A request."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Reply:
    """What is answered."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


def said(backend: str, text: str | None) -> dict[str, Any]:
    """Return a provider's reply that says a text."""
    if backend == "anthropic":
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": text}],
            "stop_reason": "end_turn", "usage": {"input_tokens": 9, "output_tokens": 3},
        }  # fmt: skip
    if backend == "gemini":
        parts = [{"text": "hm", "thought": True}, {"text": text}]
        return {
            "candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"totalTokenCount": 12}, "modelVersion": "m",
        }  # fmt: skip
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice]}


class ModelServer:
    """Listens on a free port of this machine."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.replies: list[Reply] = []
        self.answer: Callable[[Seen], Reply] = lambda _: self.replies.pop(0)
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.seen.append(Seen(self.path, headers, json.loads(self.rfile.read(length))))
                reply = server.answer(server.seen[-1])
                content = json.dumps(reply.body).encode() if reply.raw is None else reply.raw
                self.send_response(reply.status)
                for name, value in {"content-length": str(len(content)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's own name
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def variables(self, backend: str, **more: str) -> dict[str, str]:
        """Return the verifier_env that names this server."""
        key = {"local": "VLM_API_KEY"}.get(backend, f"{backend.upper()}_API_KEY")
        return {"VLM_BACKEND": backend, "VLM_MODEL": "m-1", "VLM_BASE_URL": self.url, key: KEY, **more}

    def say(self, backend: str, text: str | None) -> None:
        """Answer a text to every request."""
        self.answer = lambda _: Reply(said(backend, text))

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
