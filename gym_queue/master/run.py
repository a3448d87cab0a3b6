"""Composes a master: settings → broker → routes, fleet, creates → HTTP."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import celery
import httpx
import platformdirs
from fastapi import FastAPI

from gym_queue.broker.app import make_app
from gym_queue.broker.embedded import EmbeddedBroker
from gym_queue.broker.events import EventListener
from gym_queue.broker.queues import delete_queues
from gym_queue.broker.replies import ReplyListener
from gym_queue.broker.sender import Sender
from gym_queue.broker.url import safe_url
from gym_queue.errors import BrokerUnavailable
from gym_queue.master.admission import Admission
from gym_queue.master.closing import Closer
from gym_queue.master.creates import Creates
from gym_queue.master.dataplane.gateway import Gateway
from gym_queue.master.dispatch import CeleryDispatcher, HttpDispatcher
from gym_queue.master.fleet import Fleet, FleetTimes
from gym_queue.master.http import LOOPBACK, MasterParts, make_master_app
from gym_queue.master.routes import Routes
from gym_queue.settings import APP_NAME, MasterSettings
from gym_queue.stats.tasks import TaskStats
from gym_queue.web.server import HttpServer, LoopThread, bind, caught_signals, shown_host

logger = logging.getLogger(__name__)

TICK_S = 0.5
START_TIMEOUT_S = 60.0


class Master:
    """A master on an event loop.

    Args:
        settings: All of its settings.
        token: The cluster token; checked when ``settings.no_auth`` is false, and sent to workers.
        bound: Where to listen.
        add_pages: Adds the dashboard's pages to the app.
        open_paths: Paths that need no token.
    """

    def __init__(
        self,
        settings: MasterSettings,
        token: str,
        bound: socket.socket,
        *,
        add_pages: Callable[[FastAPI], None],
        open_paths: frozenset[str],
    ) -> None:
        self._settings = settings
        self._token = token
        self._bound = bound
        self._add_pages, self._open_paths = add_pages, open_paths
        self._stack = AsyncExitStack()
        self._broker: EmbeddedBroker | None = None

    async def start(self) -> None:
        """Start the broker, the listeners and the HTTP server.

        Raises:
            StartupFailed: The embedded broker did not start.
        """
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def stop(self) -> None:
        """Stop everything in reverse."""
        await self._stack.aclose()

    async def _start(self) -> None:
        settings = self._settings
        broker_url = settings.broker_url or await self._start_broker()
        app = make_app(broker_url, name="gym_queue.master")
        times = FleetTimes(settings.heartbeat_s, settings.heartbeat_timeout_s, settings.dead_timeout_s)
        routes, tasks = Routes(), TaskStats()
        fleet = Fleet(routes, times)
        headers = {"Authorization": f"Bearer {self._token}"}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
        client = await self._stack.enter_async_context(
            httpx.AsyncClient(headers=headers, limits=limits, trust_env=False)
        )
        closer = Closer(client)
        self._stack.callback(closer.stop)
        creates = Creates(
            fleet,
            routes,
            celery=await self._start_celery(app, tasks),
            http=HttpDispatcher(client, timeout_s=settings.create_timeout_s),
            undo=closer.undo,
            queue_timeout_s=settings.queue_timeout_s,
        )
        fleet.on_change, fleet.on_stray = creates.pump, closer.close_stray
        fleet.on_lost = _on_lost(creates, app)
        self._keep(tick_for_ever(fleet, creates))
        asked = None if settings.no_auth else self._token
        gateway = Gateway(
            routes, fleet, token=asked, worker_token=self._token, timeout_s=settings.proxy_timeout_s
        )
        gateway.start()
        self._stack.push_async_callback(gateway.close)
        admission = Admission(fleet, client)
        await self._serve(
            MasterParts(
                fleet, admission, routes, creates, gateway, tasks, self._broker_url_for, asked, time.time()
            )
        )

    async def _start_celery(self, app: celery.Celery, tasks: TaskStats) -> CeleryDispatcher:
        """Start what sends creates to the broker, and what listens to it."""
        loop = asyncio.get_running_loop()
        replies = ReplyListener(
            app,
            secrets.token_hex(4),
            lambda task_id, state, result, _tb: _call(loop, dispatcher.on_reply, task_id, state, result),
        )
        events = EventListener(app, lambda event: _call(loop, tasks.take, event))
        sender = Sender(app)
        dispatcher = CeleryDispatcher(sender, replies.queue_name, timeout_s=self._settings.create_timeout_s)
        for listener in (replies, events):
            await asyncio.to_thread(listener.start)
            self._stack.push_async_callback(asyncio.to_thread, listener.stop)
        self._stack.push_async_callback(asyncio.to_thread, sender.close)
        return dispatcher

    async def _serve(self, parts: MasterParts) -> None:
        app = make_master_app(parts, add_pages=self._add_pages, open_paths=self._open_paths)
        server = HttpServer(app, self._bound, protocol=parts.gateway.protocol())
        await server.start()
        self._stack.push_async_callback(server.stop)
        self._stack.callback(
            parts.creates.stop
        )  # before the server's end: clients that wait get their answer

    async def _start_broker(self) -> str:
        port = self._bound.getsockname()[1]
        state_dir = self._settings.state_dir or (
            Path(platformdirs.user_state_dir(APP_NAME)) / f"master-{port}"
        )
        broker = EmbeddedBroker(state_dir, self._settings.host)
        url = await asyncio.to_thread(broker.start)
        self._stack.push_async_callback(asyncio.to_thread, broker.stop)
        self._broker = broker
        logger.info("%s", broker.description)
        return url

    def _broker_url_for(self, host: str, peer: str) -> str | None:
        """Return the broker URL for a worker that reached us as ``host`` from the address ``peer``."""
        if self._broker is None:
            return self._settings.broker_url
        if peer in LOOPBACK:
            return self._broker.url
        url = self._broker.url_for(host)
        return None if url.startswith("redis+socket") else url

    def _keep(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._stack.callback(task.cancel)


def run_master(
    settings: MasterSettings,
    token: str,
    *,
    add_pages: Callable[[FastAPI], None],
    open_paths: frozenset[str],
    on_ready: Callable[[str], None],
) -> None:
    """Run a master until SIGTERM or SIGINT.

    Args:
        settings: All of its settings.
        token: The cluster token.
        add_pages: Adds the dashboard's pages to the app.
        open_paths: Paths that need no token.
        on_ready: Called with the master's URL once it serves.

    Raises:
        StartupFailed: The port is taken, or the embedded broker did not start.
    """
    bound = bind(settings.host, settings.port, auto_port=settings.auto_port)
    loop = LoopThread("master")
    master = Master(settings, token, bound, add_pages=add_pages, open_paths=open_paths)
    loop.start()
    try:
        with caught_signals() as wait:
            loop.run(master.start(), START_TIMEOUT_S)
            if settings.broker_url:
                logger.info("broker: %s", safe_url(settings.broker_url))
            on_ready(f"http://{shown_host(settings.host)}:{bound.getsockname()[1]}")
            wait()
            loop.run(master.stop(), START_TIMEOUT_S)
    finally:
        loop.stop()
        bound.close()


async def tick_for_ever(fleet: Fleet, creates: Creates, *, pause_s: float = TICK_S) -> None:
    """Let time pass for the fleet and the creates; a bug in one does not stop the other."""
    while True:
        await asyncio.sleep(pause_s)
        for tick in (fleet.tick, creates.tick):
            try:
                tick()
            except Exception:
                logger.exception(
                    "a tick of the master failed, which is a bug; the next one comes all the same"
                )


def _on_lost(creates: Creates, app: celery.Celery) -> Callable[[str, frozenset[str]], None]:
    """Return what follows the end of a worker's process."""
    loop = asyncio.get_running_loop()

    def on_lost(worker_id: str, queues: frozenset[str]) -> None:
        creates.worker_lost(worker_id)
        if queues:
            loop.run_in_executor(None, _delete_queues, app, queues)

    return on_lost


def _delete_queues(app: celery.Celery, queues: frozenset[str]) -> None:
    try:
        delete_queues(app, queues)
    except BrokerUnavailable as error:
        logger.warning("the queues of a worker that is gone stay on the broker: %s", error)
    except Exception:
        logger.exception("the queues of a worker that is gone stay on the broker")


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: object) -> None:
    """Run a function on the loop, from a listener's thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *arguments)
