"""The Celery app that master and workers share the settings of."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import celery
from kombu import Exchange

SOCKET_TIMEOUT_S = 10.0
"""Longest a broker may take to answer a command; over kombu's blocking pop of 1 s."""
CONNECT_TIMEOUT_S = 4.0
VISIBILITY_TIMEOUT_S = 30 * 24 * 3600
"""Tasks are acknowledged when they are received, so no redelivery is ever wanted."""
POOL_LIMIT = 4
"""Connections a process keeps for sending."""
REPLY_EXPIRES_S = 3600


def make_app(broker_url: str, *, name: str, ca: Path | None = None) -> celery.Celery:
    """Return a Celery app for this broker; it is not made the current app.

    Args:
        broker_url: Any kombu URL of Redis or RabbitMQ.
        name: The app's main name, as it shows in logs.
        ca: PEM file of the CA that made the broker's certificate; None is those that the system trusts. Options in the
            URL (``?ssl_ca_certs=..``) come first.
    """
    app = celery.Celery(name, broker=broker_url, backend="rpc://", set_as_current=False, fixups=[])
    app.conf.update(
        **_messages(),
        **_broker(is_redis=broker_url.startswith(("redis", "sentinel"))),
        **_worker(),
        **_tls(broker_url, ca),
    )
    # Every queue is fed through the default exchange: nothing but the queue itself is left to delete.
    amqp: Any = app.amqp
    amqp.autoexchange = lambda _name: Exchange("")
    return app


def _messages() -> dict[str, object]:
    return {
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "result_persistent": False,
        "result_expires": REPLY_EXPIRES_S,
        "task_acks_late": False,
        "task_track_started": True,
        "task_send_sent_event": True,
        "event_queue_exclusive": True,  # RabbitMQ 4 refuses queues that are neither durable nor exclusive
        "task_default_queue": "gym_queue.unrouted",
        "task_default_exchange": "",
        "task_default_routing_key": "gym_queue.unrouted",
        "task_create_missing_queues": True,
        "enable_utc": True,
    }


def _broker(*, is_redis: bool) -> dict[str, object]:
    redis_options: dict[str, object] = {
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        "priority_steps": [0],
    }
    return {
        "broker_connection_timeout": CONNECT_TIMEOUT_S,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": POOL_LIMIT,
        "broker_transport_options": redis_options if is_redis else {"confirm_publish": True},
    }


def _tls(broker_url: str, ca: Path | None) -> dict[str, object]:
    """Return what makes a broker of rediss:// or amqps:// prove who it is: left alone, kombu would take anyone."""
    if not broker_url.startswith(("rediss:", "amqps:")):
        return {}
    from_ca = {"ssl_ca_certs" if broker_url.startswith("rediss:") else "ca_certs": str(ca)} if ca else {}
    if broker_url.startswith("rediss:"):
        return {"broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED, **from_ca}}
    return {"broker_use_ssl": {"cert_reqs": ssl.CERT_REQUIRED, **from_ca}}


def _worker() -> dict[str, object]:
    return {
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,
        "worker_enable_remote_control": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # Touches late-acknowledged tasks alone, of which there are none; unset, Celery warns at each outage.
        "worker_cancel_long_running_tasks_on_connection_loss": True,
    }
