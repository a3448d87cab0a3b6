"""What broker libraries raise, as our own error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import celery
from kombu.exceptions import KombuError

from gym_queue.broker.url import safe_url
from gym_queue.errors import BrokerUnavailable
from gym_queue.tls import explain

CONNECT_ONCE: Mapping[str, Any] = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
}
"""For kombu's ensure_connection: a second try at once, and no more."""


@contextmanager
def broker_errors(app: celery.Celery) -> Iterator[None]:
    """Turn a broker's absence into BrokerUnavailable, which names the host and no password."""
    try:
        yield
    except foreign_errors(app) as error:
        raise broker_unavailable(app, explain(error) or str(error) or type(error).__name__) from error


def foreign_errors(app: celery.Celery) -> tuple[type[BaseException], ...]:
    """Return what kombu and the broker's own library raise when a broker is away or refuses."""
    transport = app.connection_for_write()  # not connected: it only knows its transport
    return (OSError, KombuError, *transport.connection_errors, *transport.channel_errors)


def broker_unavailable(app: celery.Celery, why: str) -> BrokerUnavailable:
    """Return the error that says which broker did not answer."""
    where = safe_url(app.conf.broker_url)
    return BrokerUnavailable(f"the broker {where} does not answer: {why}; is it running and reachable?")
