"""The guest's end of qemu-guest-agent as Windows' answers: it keeps files, and plays scripts from a book.

It speaks the agent's protocol over a real socket, and reads command lines as cmd.exe does; PowerShell it cannot run.
"""

from __future__ import annotations

import base64
import codecs
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Play = Callable[[str, dict[str, bytes]], tuple[int, bytes] | None]
"""Takes a script and the files, returns exit status and output; None runs on and on."""


class WindowsAgent:
    """One agent.

    Args:
        path: The unix socket it listens on.
        play: What scripts do.
    """

    def __init__(self, path: Path, play: Play) -> None:
        self._play = play
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.files: dict[str, bytes] = {}
        self.lines: list[list[str]] = []
        self._handles: dict[int, tuple[str, int]] = {}
        self._ended: dict[int, int | None] = {}
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def scripts(self) -> list[str]:
        """Return the lines that ran, each as one string."""
        return [" ".join(line) for line in self.lines]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    asked = json.loads(line.lstrip(b"\xff"))
                    mark = b"\xff" if asked["execute"] == "guest-sync-delimited" else b""
                    connection.sendall(mark + json.dumps(self._answer(asked)).encode() + b"\n")

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["execute"].removeprefix("guest-").replace("-", "_")
        try:
            return {"return": getattr(self, f"_{name}")(**asked.get("arguments", {}))}
        except FileNotFoundError as error:
            return {"error": {"class": "GenericError", "desc": f"failed to open file '{error}' (error 2)"}}

    def _sync_delimited(self, id: int) -> int:  # noqa: A002  the protocol's word
        return id

    def _file_open(self, path: str, mode: str) -> int:
        if mode == "wb":
            self.files[path] = b""
        elif path not in self.files:
            raise FileNotFoundError(path)
        number = len(self._handles) + 1
        self._handles[number] = (path, 0)
        return number

    def _file_write(self, handle: int, **content: str) -> dict[str, Any]:
        data = base64.b64decode(content["buf-b64"])
        self.files[self._handles[handle][0]] += data
        return {"count": len(data), "eof": False}

    def _file_seek(self, handle: int, offset: int, whence: int) -> dict[str, Any]:
        path, _ = self._handles[handle]
        at = offset + (len(self.files[path]) if whence == 2 else 0)
        self._handles[handle] = (path, at)
        return {"position": at, "eof": False}

    def _file_read(self, handle: int, count: int) -> dict[str, Any]:
        path, at = self._handles[handle]
        data = self.files[path][at : at + count]
        self._handles[handle] = (path, at + len(data))
        return {"count": len(data), "buf-b64": base64.b64encode(data).decode(), "eof": len(data) < count}

    def _file_close(self, handle: int) -> dict[str, Any]:
        del handle
        return {}

    def _exec(self, path: str, arg: list[str], **options: bool) -> dict[str, Any]:
        assert (path, arg[:2], options["capture-output"]) == ("cmd.exe", ["/d", "/c"], False)
        self.lines.append(arg[2:])
        self._ended[len(self.lines)] = self._run(arg[2:])
        return {"pid": len(self.lines)}

    def _exec_status(self, pid: int) -> dict[str, Any]:
        status = self._ended[pid]
        return {"exited": False} if status is None else {"exited": True, "exitcode": status}

    def _run(self, words: list[str]) -> int | None:
        if words[0] == "powershell.exe":
            return self._run_script(words[words.index("-File") + 1], words[words.index(">") + 1])
        if words[0] == "type":
            self.files[words[3]] = self.files.get(words[1], b"")
        elif words[0] == "del":
            for path in [each for each in self.files if each.startswith(words[2].removesuffix("*"))]:
                del self.files[path]
        return 0

    def _run_script(self, path: str, output: str) -> int | None:
        script = self.files[path]
        assert script.startswith(codecs.BOM_UTF8)
        assert b"\n" not in script.replace(b"\r\n", b"")
        self.files[path.replace(".ps1", ".pid")] = b"4242"
        played = self._play(script.decode("utf-8-sig"), self.files)
        self.files[output] = played[1] if played else b"so far\r\n"
        return played[0] if played else None
