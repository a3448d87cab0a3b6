"""Model APIs on this machine: they play what they are given, and keep what they were asked."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

KEY = "sk-test-0123456789abcdef"


@dataclass
class Played:
    """One answer of the API."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Streamed:
    """One answer of the API that comes in pieces."""

    pieces: Sequence[bytes]
    is_broken: bool = False
    """The connection breaks off after the last piece."""
    gap_s: float = 0.0
    """Between two pieces."""
    silence: threading.Event | None = None
    """Nothing more comes after the last piece until this is set."""


@dataclass
class Received:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class ModelServer:
    """Answers each request with the next of its script; whatever comes after gets the last again."""

    def __init__(self) -> None:
        self.script: list[Played | Streamed] = []
        self.received: list[Received] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                played = outer.next(Received(self.path, headers, body))
                if isinstance(played, Streamed):
                    self._stream(played)
                else:
                    self._answer(played)

            def _answer(self, played: Played) -> None:
                raw = played.body if isinstance(played.body, bytes) else json.dumps(played.body).encode()
                self.send_response(played.status)
                for name, value in {"Content-Type": "application/json", **played.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def _stream(self, played: Streamed) -> None:
                self.protocol_version, self.close_connection = "HTTP/1.1", True
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for piece in played.pieces:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    time.sleep(played.gap_s)
                if played.silence is not None:
                    played.silence.wait(30)
                if not played.is_broken:
                    self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def play(self, *answers: Any) -> None:
        """Set the script; what is neither Played nor Streamed is the body of a 200."""
        self.script = [each if isinstance(each, Played | Streamed) else Played(each) for each in answers]

    def next(self, received: Received) -> Played | Streamed:
        with self._lock:
            self.received.append(received)
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [received.body for received in self.received]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def message(
    *blocks: dict[str, Any], reason: str | None = None, usage: dict[str, int] | None = None
) -> dict[str, Any]:
    """Return a message of Anthropic's API."""
    uses = any(block["type"] == "tool_use" for block in blocks)
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": list(blocks),
        "stop_reason": reason or ("tool_use" if uses else "end_turn"),
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5, **(usage or {})},
    }


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def member(call_id: str, name: str, **given: Any) -> dict[str, Any]:
    """Return a call of the computer toolset."""
    return {"type": "tool_use", "id": call_id, "name": name, "toolset_name": "computer", "input": given}


def older(call_id: str, action: str, **given: Any) -> dict[str, Any]:
    """Return a call of the computer tool before there were toolsets."""
    return {"type": "tool_use", "id": call_id, "name": "computer", "input": {"action": action, **given}}


def response(
    *items: dict[str, Any], response_id: str = "resp_1", status: str = "completed"
) -> dict[str, Any]:
    """Return a response of OpenAI's Responses API."""
    usage = {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 3},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 24,
    }
    shape = {"object": "response", "created_at": 0, "model": "gpt-6-sol", "error": None}
    return {**shape, "id": response_id, "status": status, "output": list(items), "usage": usage}


def said(words: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": words, "annotations": []}]
    return {"type": "message", "id": "m_1", "role": "assistant", "status": "completed", "content": content}


def computer_call(
    call_id: str, *actions: dict[str, Any], checks: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    shape = {"type": "computer_call", "id": f"cu_{call_id}", "status": "completed"}
    return {**shape, "call_id": call_id, "actions": list(actions), "pending_safety_checks": list(checks)}


def completion(
    words: str | None = None, *calls: tuple[str, str, Any], reason: str | None = None
) -> dict[str, Any]:
    """Return a chat completion; calls are id, name, and arguments as an object or as raw text."""
    tool_calls = [
        {
            "id": call_id,
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(given),
            },
        }
        for call_id, name, given in calls
    ]
    content: dict[str, Any] = {"role": "assistant", "content": words}
    if tool_calls:
        content["tool_calls"] = tool_calls
    choice = {
        "index": 0,
        "message": content,
        "finish_reason": reason or ("tool_calls" if tool_calls else "stop"),
    }
    usage = {"prompt_tokens": 30, "completion_tokens": 6, "total_tokens": 36}
    return {
        "id": "c_1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def size_of(b64: str) -> tuple[int, int]:
    """Return width and height of a base64 PNG, with or without a data URL around it."""
    with Image.open(io.BytesIO(base64.b64decode(b64.rpartition(",")[2]))) as image:
        return image.size
