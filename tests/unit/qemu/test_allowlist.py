"""The few hosts that a machine may reach."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from gym_queue.errors import NotSupported, SpecInvalid
from gym_queue.runners.qemu.allowlist import FORWARDER, Target, hosts_script, targets_of


def test_a_host_is_its_web_ports_or_the_one_that_is_named() -> None:
    assert targets_of(["a.test", "b.test:5432"]) == (
        Target("a.test", 80, "10.0.2.20"),
        Target("a.test", 443, "10.0.2.20"),
        Target("b.test", 5432, "10.0.2.21"),
    )


def test_a_host_named_twice_has_one_address() -> None:
    assert {each.address for each in targets_of(["a.test:1", "a.test:2", "a.test:1"])} == {"10.0.2.20"}


@pytest.mark.parametrize("entry", ["*.test", "10.0.0.0/8"])
def test_a_pattern_is_refused(entry: str) -> None:
    with pytest.raises(NotSupported, match="pattern"):
        targets_of([entry])


def test_an_address_is_refused() -> None:
    with pytest.raises(NotSupported, match="an address"):
        targets_of(["192.0.2.1:80"])


@pytest.mark.parametrize("entry", ["", "a b", "-x", "a.test:0", "a.test:99999", "a.test:http", "a;reboot"])
def test_what_is_no_host_is_refused(entry: str) -> None:
    with pytest.raises(SpecInvalid, match="no host"):
        targets_of([entry])


def test_too_many_hosts_are_refused() -> None:
    with pytest.raises(NotSupported, match="201 hosts"):
        targets_of([f"h{number}.test" for number in range(201)])


def test_names_lead_to_their_addresses_inside() -> None:
    assert "10.0.2.20 a.test\n10.0.2.21 b.test" in hosts_script(targets_of(["a.test", "b.test:1"]))


def test_the_forwarder_carries_a_connection_both_ways_until_both_ends_are_done() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours, theirs = socket.socketpair()
        with ours:
            command = [sys.executable, "-I", "-S", str(FORWARDER), "127.0.0.1", str(server.getsockname()[1])]
            process = subprocess.Popen(command, stdin=theirs.fileno())
            theirs.close()
            there, _ = server.accept()
            with there:
                ours.sendall(b"request")
                ours.shutdown(socket.SHUT_WR)
                assert there.recv(100) == b"request"
                assert there.recv(100) == b""
                there.sendall(b"reply")
            assert ours.recv(100) == b"reply"
            assert ours.recv(100) == b""
        assert process.wait(10) == 0


def test_the_forwarder_hangs_up_when_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ours, theirs = socket.socketpair()
    with ours:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(FORWARDER), "127.0.0.1", str(port)], stdin=theirs.fileno()
        )
        theirs.close()
        assert ours.recv(100) == b""
        assert process.wait(10) == 1
