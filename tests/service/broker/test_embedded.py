from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from gym_queue.broker.app import make_app
from gym_queue.broker.embedded import EmbeddedBroker, Kind
from gym_queue.broker.queues import queue_length
from gym_queue.broker.sender import Sender
from gym_queue.errors import BrokerUnavailable, StartupFailed
from tests.service.broker.conftest import WAIT_S

MASTER = """
import sys, pathlib
from gym_queue.broker.embedded import EmbeddedBroker
broker = EmbeddedBroker(pathlib.Path(sys.argv[1]), kind=sys.argv[2])
print(broker.start(), flush=True)
sys.stdin.read()
"""


def send_one(url: str) -> None:
    sender = Sender(make_app(url, name="test"))
    asyncio.run(sender.send("test.echo", {}, task_id="e1", queue="env.local.w1", reply_to="r"))
    sender.close()


def length(url: str) -> int:
    return queue_length(make_app(url, name="test"), "env.local.w1")


def servers_in(folder: Path) -> list[psutil.Process]:
    """Every process that works in the folder or was told a path in it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) or str(folder) in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def killed_master(state_dir: Path, kind: Kind) -> str:
    """Start a broker by a program that is killed; return the broker's URL."""
    command = [sys.executable, "-c", MASTER, str(state_dir), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as master:
        assert master.stdout is not None
        url = master.stdout.readline().strip()
        send_one(url)
        master.kill()
    return url


def test_stopping_leaves_no_process_and_no_socket(kind: Kind, tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, kind=kind)
    broker.start()
    assert servers_in(tmp_path / "broker")
    broker.stop()
    broker.stop()
    assert not servers_in(tmp_path / "broker")
    assert not [path for path in (tmp_path / "broker").iterdir() if path.is_socket()]


@pytest.mark.needs("redis-server")
def test_a_found_server_ends_though_its_parent_does_not_reap_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MASTER, str(tmp_path), "redis"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        broker = EmbeddedBroker(tmp_path, kind="redis", stop_grace_s=WAIT_S)
        assert broker.start() == url
        (server,) = servers_in(tmp_path / "broker")
        broker.stop()
        assert server.status() == psutil.STATUS_ZOMBIE
        parent.kill()


def test_the_password_is_in_no_command_line_or_description(broker: EmbeddedBroker, tmp_path: Path) -> None:
    secret = broker.url.partition("@")[0].rpartition(":")[2] if "@" in broker.url else broker.url
    shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert secret not in shown
    assert secret not in broker.description
    assert stat.S_IMODE((tmp_path / "broker").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_is_a_startup_error(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupFailed, match="cannot write to"):
        EmbeddedBroker(tmp_path / "file" / "state", kind=kind).start()


def test_the_broker_is_not_reached_by_a_terminals_signals(broker: EmbeddedBroker, tmp_path: Path) -> None:
    (server,) = servers_in(tmp_path / "broker")
    assert os.getsid(server.pid) == server.pid


def test_without_redis_server_the_fake_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    broker = EmbeddedBroker(tmp_path)
    url = broker.start()
    try:
        send_one(url)
        assert length(url) == 1
        assert "redis-server is not on PATH" in broker.description
    finally:
        broker.stop()


def test_redis_asked_for_but_missing_is_a_startup_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartupFailed, match="redis-server is not on PATH"):
        EmbeddedBroker(tmp_path, kind="redis").start()


def test_the_fake_server_takes_a_short_path_when_its_own_is_too_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    broker = EmbeddedBroker(deep, kind="fake")
    url = broker.start()
    folder = Path(url.partition("//")[2].partition("?")[0]).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    broker.stop()
    assert not folder.exists()


def test_the_fake_server_dies_with_its_killed_parent_and_removes_its_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    for state_dir, own_folder in ((tmp_path, False), (deep, True)):
        url = killed_master(state_dir, "fake")
        path = Path(url.partition("//")[2].partition("?")[0])
        psutil.wait_procs(servers_in(path.parent), timeout=WAIT_S)
        assert not servers_in(path.parent)
        assert not path.exists()
        assert path.parent.exists() != own_folder


@pytest.mark.needs("redis-server")
def test_a_killed_masters_redis_is_found_again_with_its_queues(tmp_path: Path) -> None:
    url = killed_master(tmp_path, "redis")
    (server,) = servers_in(tmp_path / "broker")
    broker = EmbeddedBroker(tmp_path, kind="redis")
    assert broker.start() == url
    assert servers_in(tmp_path / "broker") == [server]
    assert length(url) == 1
    broker.stop()
    assert not servers_in(tmp_path / "broker")


@pytest.mark.needs("redis-server")
def test_a_stopped_redis_comes_back_with_its_queues_url_and_password(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, kind="redis")
    url = broker.start()
    send_one(url)
    broker.stop()
    again = EmbeddedBroker(tmp_path, kind="redis")
    assert again.start() == url
    assert length(url) == 1
    again.stop()


@pytest.mark.needs("redis-server")
def test_a_port_that_was_taken_meanwhile_is_changed(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, kind="redis")
    url = broker.start()
    send_one(url)
    broker.stop()
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))):
        again = EmbeddedBroker(tmp_path, kind="redis")
        assert again.start() != url
        assert length(again.url) == 1
        again.stop()


@pytest.mark.needs("redis-server")
def test_redis_takes_nobody_without_the_password(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, kind="redis")
    place = broker.start().rpartition("@")[2]
    with redis.Redis.from_url(f"redis://{place}") as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    broker.stop()


@pytest.mark.needs("redis-server")
def test_a_redis_that_cannot_start_says_why(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, kind="redis")
    broker.start()
    broker.stop()
    for path in (tmp_path / "broker" / "appendonlydir").glob("*.manifest"):
        path.write_text("not a manifest\n")
    with pytest.raises(StartupFailed, match="manifest"):
        EmbeddedBroker(tmp_path, kind="redis").start()
    assert not servers_in(tmp_path / "broker")


@pytest.mark.needs("redis-server")
def test_a_redis_that_hangs_is_killed_after_the_grace(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, kind="redis", stop_grace_s=0.1)
    broker.start()
    (server,) = servers_in(tmp_path / "broker")
    server.send_signal(signal.SIGSTOP)
    broker.stop()
    assert not server.is_running()


@pytest.mark.needs("redis-server")
def test_a_killed_masters_redis_that_hangs_is_replaced_on_its_files(tmp_path: Path) -> None:
    url = killed_master(tmp_path, "redis")
    (server,) = servers_in(tmp_path / "broker")
    server.send_signal(signal.SIGSTOP)
    broker = EmbeddedBroker(tmp_path, kind="redis", stop_grace_s=0.1)
    assert broker.start() == url
    assert server not in servers_in(tmp_path / "broker")
    assert length(url) == 1
    broker.stop()


@pytest.mark.needs("redis-server")
def test_a_changed_address_takes_the_queues_along(tmp_path: Path) -> None:
    url = killed_master(tmp_path, "redis")
    broker = EmbeddedBroker(tmp_path, "0.0.0.0", kind="redis")
    assert broker.start() == url
    assert length(broker.url_for("127.0.0.2")) == 1
    assert len(servers_in(tmp_path / "broker")) == 1
    broker.stop()


def test_a_send_to_a_broker_that_hangs_fails_in_time(broker: EmbeddedBroker, tmp_path: Path) -> None:
    sender = Sender(make_app(broker.url, name="test"), timeout_s=0.3)
    (server,) = servers_in(tmp_path / "broker")
    server.send_signal(signal.SIGSTOP)
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        asyncio.run(sender.send("test.echo", {}, task_id="e1", queue="env.local.w1", reply_to="r"))
    server.send_signal(signal.SIGCONT)
    sender.close()
