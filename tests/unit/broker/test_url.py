from __future__ import annotations

import pytest

from gym_queue.broker.url import safe_url


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
