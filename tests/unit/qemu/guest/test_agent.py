"""The guest agent: QEMU's own program, run on this host."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gym_queue.errors import EnvTimeout, RunnerFailed
from gym_queue.runners.qemu.guest.agent import AgentRefused, GuestAgent

pytestmark = pytest.mark.needs("qemu-ga")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = [
        "qemu-ga",
        "-m",
        "unix-listen",
        "-p",
        str(tmp_path / "agent.sock"),
        "-t",
        str(tmp_path),
        "-f",
        str(tmp_path / "pid"),
    ]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def agent(program: subprocess.Popen[bytes], tmp_path: Path) -> Iterator[GuestAgent]:
    agent = GuestAgent(tmp_path / "agent.sock", lambda: None)
    agent.wait(deadline_s=20)
    yield agent
    agent.close()


@pytest.mark.parametrize(
    ("script", "status", "output"),
    [
        ("echo out; echo err >&2; exit 3", 3, "out\nerr\n"),
        ("kill -9 $$", 137, ""),
        ("head -c 300000 /dev/zero | tr '\\0' x", 0, "x" * 300_000),
        ("printf '\\377'", 0, "\ufffd"),
    ],
)
def test_a_program_runs_to_its_end(agent: GuestAgent, script: str, status: int, output: str):
    result = agent.run(["/bin/sh", "-c", script], timeout_s=30)
    assert (result.exit_status, result.output) == (status, output)


def test_output_that_is_too_much_says_that_it_was_cut(agent: GuestAgent):
    result = agent.run(["/bin/sh", "-c", "head -c 20000000 /dev/zero"], timeout_s=60)
    assert result.output.endswith("[the agent dropped the output after this]\n")


def test_a_program_past_its_time_is_said(agent: GuestAgent):
    with pytest.raises(EnvTimeout, match=r"0\.1 s"):
        agent.run(["/bin/sleep", "3"], timeout_s=0.1)
    assert agent.run(["/bin/echo", "on"], timeout_s=30).output == "on\n"


def test_what_the_agent_refuses_is_said_in_its_words(agent: GuestAgent):
    with pytest.raises(AgentRefused, match="no-such-command"):
        agent.call("no-such-command")
    with pytest.raises(AgentRefused, match="guest-exec"):
        agent.run(["/no/such/program"], timeout_s=30)


def test_files_pass_each_way(agent: GuestAgent, tmp_path: Path):
    content = bytes(range(256)) * 3000
    agent.write_file(str(tmp_path / "file"), content)
    assert (tmp_path / "file").read_bytes() == content
    assert agent.read_file(str(tmp_path / "file"), limit_bytes=1 << 30) == content
    assert agent.read_file(str(tmp_path / "file"), limit_bytes=1000) == content[:1000]
    with pytest.raises(AgentRefused, match="No such file"):
        agent.read_file(str(tmp_path / "nothing"), limit_bytes=1)


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff{]", b'{"execute": "guest-ping"', b"\0" * 1000, b'{"execute": "guest-info"}\n']
)
def test_it_answers_after_a_talk_that_was_cut_off(agent: GuestAgent, garbage: bytes):
    assert agent._socket is not None
    agent._socket.sendall(garbage)
    agent.wait(deadline_s=20)
    assert agent.call("guest-ping") == {}


def test_an_agent_that_hangs_is_said_and_used_again_once_it_goes_on(
    agent: GuestAgent, program: subprocess.Popen[bytes]
):
    program.send_signal(signal.SIGSTOP)
    with pytest.raises(RunnerFailed, match="does not answer guest-ping"):
        agent.call("guest-ping", timeout_s=0.2)
    program.send_signal(signal.SIGCONT)
    agent.wait(deadline_s=20)
    assert agent.call("guest-ping") == {}


def test_what_was_asked_of_a_guest_that_still_booted_is_no_answer_to_what_comes_later(
    agent: GuestAgent, program: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gym_queue.runners.qemu.guest.agent.ASK_AGAIN_S", 0.02)
    program.send_signal(signal.SIGSTOP)
    going_on = threading.Timer(0.3, program.send_signal, [signal.SIGCONT])
    going_on.start()
    agent.wait(deadline_s=20)
    assert [agent.call("guest-ping") for _ in range(3)] == [{}] * 3
    going_on.join()


def test_an_agent_that_ends_is_said_with_the_machines_own_reason_if_there_is_one(
    agent: GuestAgent, program: subprocess.Popen[bytes], tmp_path: Path
):
    program.kill()
    program.wait()
    with pytest.raises(RunnerFailed, match="does not answer"):
        agent.call("guest-ping")
    with pytest.raises(RunnerFailed, match="has not booted"):
        agent.wait(deadline_s=0.1)
    gone = GuestAgent(tmp_path / "agent.sock", lambda: RunnerFailed("the guest panicked"))
    with pytest.raises(RunnerFailed, match="panicked"):
        gone.wait(deadline_s=20)


def test_close_ends_a_call_of_another_thread(agent: GuestAgent, program: subprocess.Popen[bytes]):
    program.send_signal(signal.SIGSTOP)
    raised: list[RunnerFailed] = []

    def call() -> None:
        try:
            agent.call("guest-ping", timeout_s=60)
        except RunnerFailed as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not agent._lock.locked():
        time.sleep(0.001)
    agent.close()
    thread.join(timeout=20)
    assert "closed" in str(raised[0])


def test_answers_of_older_talks_are_not_taken_for_ours(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "port"))
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener,))
        thread.start()
        agent = GuestAgent(tmp_path / "port", lambda: None)
        agent.wait(deadline_s=20)
        assert agent.call("guest-ping") == {"of": "ours"}
        agent.close()
        thread.join(timeout=20)


def _serve(listener: socket.socket) -> None:
    """Answer as a port does that still holds what an older talk asked for."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb") as talk:
        asked = json.loads(talk.readline().lstrip(b"\xff"))
        old = b'{"return": {"of": "an older talk"}}\n[]\n\xff{"return": 1}\n'
        talk.write(old + b"\xff" + json.dumps({"return": asked["arguments"]["id"]}).encode() + b"\n")
        talk.flush()
        talk.readline()
        talk.write(b'{"return": {"of": "ours"}}\n')
