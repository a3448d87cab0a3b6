from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gym_queue.runners.display.connection import connect_to


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    """A unix socket whose path is longer than an address holds."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        (tmp_path / "s").symlink_to(folder)
        server.bind(str(tmp_path / "s" / "x"))
        server.listen()
        yield folder / "x"


def test_a_socket_of_a_long_path_is_reached(listening: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        connect_to(client, listening)


def test_a_link_in_a_sockets_place_is_not_followed(listening: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(listening)
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError, match="not a socket"):
        connect_to(client, tmp_path / "link")


def test_nothing_there_and_what_is_no_socket_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(FileNotFoundError):
            connect_to(client, tmp_path / "none")
        with pytest.raises(ConnectionRefusedError):
            connect_to(client, tmp_path / "file")
