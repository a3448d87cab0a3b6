from __future__ import annotations

import logging
from unittest.mock import Mock

import pytest

from gym_queue.broker.app import make_app
from gym_queue.worker.consumer import PatientConsumer


class Gone:
    """A connection of which nothing is left, as kombu's Redis transport may leave one behind."""

    transport = None

    def collect(self, **_options: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'")

    close = collect


@pytest.fixture
def consumer() -> PatientConsumer:
    return PatientConsumer(
        Mock(), app=make_app("memory://", name="test"), pool=Mock(num_processes=1), controller=Mock()
    )


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_connection_that_falls_apart_does_not_end_the_worker(
    consumer: PatientConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    consumer.connection = Gone()  # type: ignore[assignment]
    with caplog.at_level(logging.WARNING):
        consumer.on_connection_error_after_connected(ConnectionError("the broker has gone"))
    assert consumer.connection is None
    assert "did not end cleanly" in caplog.text


def test_what_kombu_raises_of_a_connection_that_has_gone_is_a_lost_connection(
    consumer: PatientConsumer,
) -> None:
    assert AttributeError in consumer.connection_errors
