from __future__ import annotations

import celery
import pytest

from gym_queue.broker.app import make_app


def test_nothing_but_json_is_sent_or_accepted() -> None:
    conf = make_app("memory://", name="t").conf
    assert conf.accept_content == conf.result_accept_content == ["json"]
    assert {conf.task_serializer, conf.result_serializer, conf.event_serializer} == {"json"}


def test_an_app_does_not_become_the_current_one() -> None:
    app = make_app("memory://", name="t")
    assert celery.current_app.main != app.main


@pytest.mark.parametrize("queue", ["env.local.w1", "env.any.w2"])
def test_a_queue_is_fed_through_the_default_exchange(queue: str) -> None:
    assert make_app("memory://", name="t").amqp.queues[queue].exchange.name == ""


def test_the_password_shows_in_no_repr() -> None:
    app = make_app("redis://:secret@localhost:1/0", name="t")
    assert "secret" not in f"{app!r} {app.connection_for_write()!r} {app.conf.humanize()}"
