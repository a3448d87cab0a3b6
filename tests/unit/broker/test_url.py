from __future__ import annotations

from pathlib import Path

import pytest

from gym_queue.broker.url import is_closed_socket, safe_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@host:6379/0", "redis://host:6379/0"),
        ("amqp://user:secret@host//", "amqp://host//"),
        ("amqp://user:se/cr@et@host", "amqp://host"),
        ("redis://host/0?password=secret", "redis://host/0"),
        ("redis+socket:///run/b.sock?virtual_host=0", "redis+socket:///run/b.sock"),
        ("sentinel://:secret@a:1;sentinel://:secret@b:2", "sentinel://b:2"),
        ("secret", "<not a URL>"),
    ],
)
def test_a_shown_url_has_the_host_and_no_secret(url: str, shown: str) -> None:
    assert safe_url(url) == shown


def test_a_socket_that_is_not_there_is_closed_and_hosts_are_not(tmp_path: Path) -> None:
    path = tmp_path / "broker sock"
    url = f"redis+socket://{tmp_path}/broker%20sock?virtual_host=0"
    assert is_closed_socket(url)
    path.touch()
    assert not is_closed_socket(url)
    assert not is_closed_socket("redis://127.0.0.1:9/0")
