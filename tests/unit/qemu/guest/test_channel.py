"""The connection to the helper: where a talk begins, what breaks it, and that no call stops another."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_queue.errors import PathNotFound, RunnerFailed
from gym_queue.runners.qemu.guest import inside
from gym_queue.runners.qemu.guest.channel import Channel
from gym_queue.runners.qemu.guest.inside.wire import (
    ANSWER,
    ASK,
    CREDIT,
    DATA,
    ENDED,
    HEAD,
    HELLO,
    MAX_BYTES,
    NONCE_BYTES,
    OPEN,
    PADDING,
    WINDOW_BYTES,
    Frames,
    WireError,
    frame,
)
from gym_queue.runners.qemu.guest.install import helper_digest, helper_file
from gym_queue.runners.qemu.guest.linux import LinuxGuest
from tests.unit.qemu.guest.conftest import Connect, connected, running_helper

HELLO_FRAME = frame(HELLO, 0, ASK + bytes(NONCE_BYTES))


def channel(path: Path, *, deadline_s: float = 20, digest: bytes | None = None) -> Channel:
    return Channel(path, explain_end=lambda: None, digest=digest or helper_digest(), deadline_s=deadline_s)


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(0, 9), st.binary(max_size=40))), st.data())
def test_frames_come_out_as_they_went_in_however_they_were_cut(frames: list, data: st.DataObject):
    sent = b"".join(frame(*each) + bytes(data.draw(st.integers(0, 3))) for each in frames)
    reader, found = Frames(), []
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        reader.feed(sent[:size])
        sent = sent[size:]
        while (taken := reader.take()) is not None:
            found.append(taken)
    assert found == frames


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_talk_that_was_cut_off_anywhere_is_over_after_the_padding(content: bytes, cut: int):
    reader = Frames()
    reader.feed(frame(DATA, 3, content)[:cut] + PADDING + HELLO_FRAME)
    found = []
    while (taken := reader.take()) is not None:
        found.append(taken)
    assert found[-1] == (HELLO, 0, ASK + bytes(NONCE_BYTES))


@pytest.mark.parametrize("head", [HEAD.pack(8, 0, 0), HEAD.pack(DATA, 0, MAX_BYTES + 1)])
def test_what_is_no_frame_is_an_error(head: bytes):
    reader = Frames()
    reader.feed(head)
    with pytest.raises(WireError):
        reader.take()


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\xff garbage",
        HELLO_FRAME + frame(OPEN, 1, json.dumps({"call": "exec"}).encode())[:-3],
        HELLO_FRAME + frame(DATA, 1, b"x" * 1000)[:-100],
        HELLO_FRAME + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        HELLO_FRAME + frame(OPEN, 1, b"no JSON"),
        HELLO_FRAME + frame(OPEN, 1, b"{}") + frame(OPEN, 2, b'{"call": "setup"}'),
    ],
)
def test_the_helper_answers_whatever_came_before(helper: Path, before: bytes):
    with socket.socket(socket.AF_UNIX) as port:
        port.settimeout(20)
        port.connect(str(helper))
        port.sendall(before + PADDING + frame(HELLO, 0, ASK + b"n" * NONCE_BYTES))
        found = b""
        while ANSWER + b"n" * NONCE_BYTES + helper_digest() not in found:
            found += port.recv(65536)
    channel(helper).close()


def test_the_same_program_is_the_same_file():
    assert helper_file() == helper_file()


@pytest.mark.parametrize(
    "module", sorted(Path(inside.__file__).parent.glob("*.py")), ids=lambda path: path.name
)
def test_what_runs_inside_can_be_read_by_an_old_python(module: Path):
    ast.parse(module.read_text(), feature_version=(3, 7))


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff" * 20,
        frame(ENDED, 1, b"[]"),
        frame(ENDED, 1, b"no JSON"),
        frame(ENDED, 1, b"[" * MAX_BYTES),
        frame(CREDIT, 1, b"?"),
        frame(DATA, 1, bytes(MAX_BYTES)) * 40,
    ],
)
def test_a_guest_that_sends_nonsense_loses_its_connection(tmp_path: Path, sent: bytes):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "port"))
        listener.listen()
        thread = threading.Thread(target=_answer, args=(listener, sent))
        thread.start()
        talk = channel(tmp_path / "port")
        with pytest.raises(RunnerFailed, match="hung up"):
            talk.open({"call": "exec"}, b"").wait_end(time.monotonic() + 20)
        talk.close()
        thread.join(timeout=20)


def _answer(listener: socket.socket, sent: bytes) -> None:
    connection, _ = listener.accept()
    asked = b""
    with connection:
        while len(asked) < len(PADDING) + len(HELLO_FRAME):
            asked += connection.recv(65536)
        connection.sendall(frame(HELLO, 0, ANSWER + asked[-NONCE_BYTES:] + helper_digest()))
        connection.recv(65536)
        with contextlib.suppress(OSError):  # it need not read all of it
            connection.sendall(sent)
            while connection.recv(65536):
                pass


def test_a_helper_of_another_version_is_refused(helper: Path):
    with pytest.raises(RunnerFailed, match="another version"):
        channel(helper, digest=bytes(32))


def test_a_helper_that_does_not_answer_is_said(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "port"))
        listener.listen()
        with pytest.raises(RunnerFailed, match="did not answer within"):
            channel(tmp_path / "port", deadline_s=0.2)


def test_a_port_that_is_not_there_is_said_with_the_machines_own_reason(tmp_path: Path):
    with pytest.raises(RunnerFailed, match="cannot be connected"):
        channel(tmp_path / "port", deadline_s=0.1)
    with pytest.raises(RunnerFailed, match="panicked"):
        Channel(
            tmp_path / "port",
            explain_end=lambda: RunnerFailed("the guest panicked"),
            digest=b"",
            deadline_s=20,
        )


def test_a_helper_that_is_killed_ends_running_and_coming_calls(tmp_path: Path):
    with running_helper(tmp_path) as port, connected(port, tmp_path) as connect:
        _kill_helper_of(connect())


def _kill_helper_of(guest: LinuxGuest) -> None:
    with pytest.raises(RunnerFailed, match="hung up"):
        guest.exec(
            "read -r _ _ _ shell _ </proc/self/stat; read -r _ _ _ helper _ </proc/$shell/stat; kill -9 $helper; sleep 60",
            timeout_s=50,
        )
    with pytest.raises(RunnerFailed, match="hung up"):
        guest.exec("true", timeout_s=50)


def test_a_copy_that_nobody_reads_stops_at_its_window_and_no_other_call(
    helper: Path, connect: Connect, tmp_path: Path
):
    guest = connect()
    large = tmp_path / "home" / "large"
    large.write_bytes(b"x" * 10 * WINDOW_BYTES)
    first = guest._channel.open({"call": "copy_out", "path": str(large)})
    assert guest.exec("echo on", timeout_s=30).output == "on\n"
    taken = len(first.take_output())
    assert taken <= WINDOW_BYTES
    first.kill()
    assert first.wait_end(time.monotonic() + 20) is not None


def test_a_socket_inside_is_an_end_of_a_pair_here(guest: LinuxGuest, tmp_path: Path):
    content = os.urandom(3 * WINDOW_BYTES)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "x"))
        listener.listen()
        ours = guest.connect(str(tmp_path / "x"))
        ours.settimeout(20)
        theirs, _ = listener.accept()
        theirs.settimeout(20)
        sender = threading.Thread(target=ours.sendall, args=(content,))
        sender.start()
        assert _read(theirs, len(content)) == content
        sender.join()
        theirs.sendall(b"back")
        assert ours.recv(10) == b"back"
        ours.close()
        assert theirs.recv(1) == b""
        theirs.close()
        second = guest.connect(str(tmp_path / "x"))
        second.settimeout(20)
        listener.accept()[0].close()
        assert second.recv(1) == b""
        second.close()


def test_a_socket_that_is_not_there_cannot_be_connected_to(guest: LinuxGuest, tmp_path: Path):
    with pytest.raises(PathNotFound):
        guest.connect(str(tmp_path / "nothing"))
    (tmp_path / "file").write_text("")
    with pytest.raises(RunnerFailed, match="refused"):
        guest.connect(str(tmp_path / "file"))


def test_a_helper_that_stands_still_ends_no_call_before_its_time(guest: LinuxGuest):
    pid = int(
        guest.exec(
            "read -r _ _ _ shell _ </proc/self/stat; read -r _ _ _ helper _ </proc/$shell/stat; echo $helper",
            timeout_s=30,
        ).output
    )
    os.kill(pid, signal.SIGSTOP)
    resume = threading.Timer(0.3, os.kill, (pid, signal.SIGCONT))
    resume.start()
    assert guest.exec("echo on", timeout_s=30).output == "on\n"
    resume.join()


def _read(connection: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        found += connection.recv(65536)
    return bytes(found)
