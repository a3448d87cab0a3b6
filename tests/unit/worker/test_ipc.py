from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gym_queue.errors import RequestInvalid, TooLarge
from gym_queue.worker import ipc
from gym_queue.worker.ipc import FrameSocket, pack, read_frame


def read(*chunks: bytes) -> Any:
    async def run() -> Any:
        reader = asyncio.StreamReader()
        for chunk in chunks:
            reader.feed_data(chunk)
        reader.feed_eof()
        return await read_frame(reader)

    return asyncio.run(run())


@pytest.fixture
def worker_end() -> Iterator[socket.socket]:
    with tempfile.TemporaryDirectory(prefix="gq-") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(folder, "s")))
        listener.listen()
        yield listener


def connect(listener: socket.socket) -> tuple[FrameSocket, socket.socket]:
    channel = FrameSocket(listener.getsockname(), "hello")
    return channel, listener.accept()[0]


@pytest.mark.parametrize(
    "message", [None, [1, "step", {"a": b"\x00\xff"}], {"é": [1.5, True]}, {1: "int keys"}]
)
def test_a_message_arrives_as_it_was_sent_however_it_was_cut(message: object) -> None:
    frame = pack(message)
    assert read(frame) == message
    assert read(*(frame[i : i + 1] for i in range(len(frame)))) == message


@pytest.mark.parametrize(
    "data", [b"", b"\0\0", pack("cut")[:-1], b"\xff\xff\xff\xff", b"\0\0\0\x01\xc1", b"\0\0\0\x02\x01\x01"]
)
def test_what_is_no_frame_ends_the_connection(data: bytes) -> None:
    with pytest.raises(EOFError):
        read(data)


def test_what_msgpack_has_no_form_for_is_sent_as_text() -> None:
    assert read(pack({"path": Path("/x"), "big": 10**30})) == {"path": "/x", "big": str(10**30)}


def test_half_a_surrogate_pair_is_the_callers_error() -> None:
    with pytest.raises(RequestInvalid):
        pack({"text": "\ud800"})


def test_a_message_over_the_limit_is_refused_where_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc, "MAX_FRAME_BYTES", 100)
    with pytest.raises(TooLarge):
        pack(b"x" * 100)


def test_the_blocking_end_sends_receives_and_sees_the_end(worker_end: socket.socket) -> None:
    channel, peer = connect(worker_end)
    with peer:
        peer.sendall(pack({"n": 1}) + pack({"n": 2}))
        assert [channel.receive(), channel.receive()] == [{"n": 1}, {"n": 2}]
    with pytest.raises(EOFError):
        channel.receive()
    channel.close()


def test_frames_sent_by_two_threads_are_not_mixed(worker_end: socket.socket) -> None:
    channel, peer = connect(worker_end)
    senders = [threading.Thread(target=channel.send, args=(bytes([n]) * 3_000_000,)) for n in range(4)]
    for sender in senders:
        sender.start()

    async def receive() -> list[Any]:
        reader, writer = await asyncio.open_connection(sock=peer)
        frames = [await read_frame(reader) for _ in range(5)]
        writer.close()
        await writer.wait_closed()
        return frames

    frames = asyncio.run(receive())
    assert frames[0] == "hello"
    assert sorted((frame[0], len(set(frame))) for frame in frames[1:]) == [(n, 1) for n in range(4)]
    for sender in senders:
        sender.join()
    channel.close()
