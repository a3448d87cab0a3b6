"""Composes a master: settings → broker → routes, fleet, creates → HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Literal

import celery
import httpx
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gym_queue.broker.app import make_app
from gym_queue.broker.embedded import EmbeddedBroker
from gym_queue.broker.events import EventListener
from gym_queue.broker.listener import Listener
from gym_queue.broker.replies import ReplyListener
from gym_queue.broker.sender import Sender
from gym_queue.broker.url import safe_url
from gym_queue.master.access import Access, Keyring
from gym_queue.master.admission import Admission
from gym_queue.master.api.attention import BrokerState
from gym_queue.master.api.board import Board, Owners
from gym_queue.master.asking import BoundedTransport
from gym_queue.master.brokerview import broker_view, kind_of
from gym_queue.master.calls import MASTER_CALLS
from gym_queue.master.clearing import Clearing
from gym_queue.master.closing import Closer
from gym_queue.master.creates import Creates
from gym_queue.master.dataplane.gateway import Gateway
from gym_queue.master.dataplane.limits import Limits
from gym_queue.master.deadqueues import DeadQueues
from gym_queue.master.dispatch import CeleryDispatcher, HttpDispatcher
from gym_queue.master.envlogs import LogDesk, kept_lines
from gym_queue.master.fairshare import FairShare
from gym_queue.master.fleet import Fleet, FleetTimes
from gym_queue.master.http import LOOPBACK, MasterParts, make_master_app
from gym_queue.master.journal import Facts, Journal
from gym_queue.master.ownership import Ownership
from gym_queue.master.routes import Routes
from gym_queue.master.state import Place, hold, is_in_folder, place_of, restore, store_of
from gym_queue.master.statistics import into, kept
from gym_queue.master.ticking import tick_for_ever
from gym_queue.master.traces import Traces
from gym_queue.master.unclaimed import Unclaimed
from gym_queue.master.watch import TIMEOUT_S, Watch
from gym_queue.master.workersecrets import WorkerSecrets
from gym_queue.protocol.methods import Methods
from gym_queue.settings import MasterSettings
from gym_queue.stats.tasks import TaskStats
from gym_queue.tls import server_context, verify_of
from gym_queue.tracing import start_tracing
from gym_queue.web.limits import BodyLimits
from gym_queue.web.pauses import shorten_pauses
from gym_queue.web.renewal import RenewedCertificate
from gym_queue.web.rotation import GRACE_S, RotatingToken
from gym_queue.web.server import HttpServer, LoopThread, bind, caught_signals, shown_host
from gym_queue.web.tls import RequireCertificate, telling_certificates

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0
WORKER_CALLS = ("/workers/register", "/workers/heartbeat", "/workers/deregister")
"""What workers alone call: under mutual TLS, with a certificate."""


class Master:
    """A master on an event loop.

    Args:
        settings: All of its settings.
        token: The cluster token; checked when ``settings.no_auth`` is false, and sent to workers.
        bound: Where to listen.
        add_pages: Adds the dashboard's pages to the app.
        open_paths: Paths that need no token.
        keys: Who bears which token; None knows ``token`` alone.

    Raises:
        StartupFailed: A file of ``settings.tls`` cannot be used.
    """

    def __init__(
        self,
        settings: MasterSettings,
        token: str,
        bound: socket.socket,
        *,
        add_pages: Callable[[FastAPI], None],
        open_paths: frozenset[str],
        keys: Keyring | None = None,
    ) -> None:
        self._settings = settings
        self._keys = keys or Keyring(RotatingToken(token))
        self._bound = bound
        self._add_pages, self._open_paths = add_pages, open_paths
        self._stack = AsyncExitStack()
        self._tls = server_context(settings.tls, asks=ssl.CERT_OPTIONAL)
        self._verify: ssl.SSLContext | Literal[True] = verify_of(settings.tls)
        self._broker: EmbeddedBroker | None = None
        self._hears_broker: Callable[[], bool] = lambda: False
        self._why_deaf: Callable[[], str | None] = lambda: None

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
        settings, place = self._settings, place_of(self._settings, self._bound.getsockname()[1])
        tracing = start_tracing("gym-queue-master")
        self._stack.push_async_callback(asyncio.to_thread, tracing.stop)
        traces = Traces(tracing)
        if is_in_folder(settings):
            self._stack.enter_context(hold(place))
        broker_url = settings.broker_url or await self._start_broker(place)
        app = make_app(broker_url, name="gym_queue.master", ca=settings.ssl_ca)
        journal, facts = await self._read_journal(place, app, broker_url)
        times = FleetTimes(settings.heartbeat_s, settings.heartbeat_timeout_s, settings.dead_timeout_s)
        routes, tasks = Routes(notes=journal), TaskStats()
        fleet = Fleet(routes, times, notes=journal)
        ownership, secrets = Ownership(routes, journal), WorkerSecrets(journal)
        client = await self._make_client()
        await self._stack.enter_async_context(kept(tasks, place, fresh=settings.fresh))  # before events come
        closer, watch = Closer(client), await self._make_watch(fleet)
        self._stack.callback(closer.stop)
        self._stack.callback(watch.stop)
        dead_queues = DeadQueues(app, fleet.queues)
        creates = Creates(
            fleet,
            routes,
            celery=traces.traced(await self._start_celery(app, place, tasks, fleet, dead_queues)),
            http=traces.traced(HttpDispatcher(client, timeout_s=settings.create_timeout_s)),
            undo=closer.undo,
            queue_timeout_s=settings.queue_timeout_s,
            wait_for_workers=settings.wait_for_workers,
            unclaimed=Unclaimed(closer.is_unused),
            clearing=Clearing(closer.stray),
            notes=journal,
            order=FairShare(ownership.owner, ownership.running).order,
        )
        ownership.is_waiting = lambda env_id: creates.find(env_id) is not None
        fleet.on_change, fleet.on_stray, fleet.on_suspect = creates.pump, closer.close_stray, watch.ask
        fleet.on_lost = _on_lost(creates, dead_queues)
        ownership.restore(facts)
        secrets.restore(facts)
        restore(facts, fleet, routes, creates, is_unread=journal.is_unread)
        view = broker_view(app, broker_url, place, fleet, is_embedded=self._broker is not None)
        self._keep(tick_for_ever(fleet, creates, watch, tasks))
        access = Access(None if settings.no_auth else self._keys, ownership)
        gateway = self._start_gateway(routes, fleet, access)
        self._keep(RenewedCertificate(settings.tls, [self._tls, self._verify]).follow())
        self._keep(self._keys.follow(lambda: self._on_rotated(gateway, client)))
        admission = Admission(fleet, client)
        owners = Owners(fleet, routes, creates, gateway, tasks, self._broker_state)
        board = await self._start_board(owners, place)
        await self._serve(
            MasterParts(
                fleet,
                admission,
                routes,
                creates,
                gateway,
                tasks,
                self._broker_url_for,
                self._asked,
                time.time(),
                journal.wait_written,
                access,
                secrets,
                BodyLimits.of(settings),
                traces=traces,
                broker=self._stack.enter_context(view),
                logs=LogDesk(self._stack.enter_context(kept_lines()), client),
                client=client,
                board=board,
            )
        )

    async def _start_board(self, owners: Owners, place: Place) -> Board:
        """Return what the dashboard reads, going on with the last hour of an earlier master."""
        board = Board(owners, started_at=time.time(), file=place.folder / f"history-{place.name}.json")
        await board.start(fresh=self._settings.fresh)
        self._stack.push_async_callback(board.sampler.stop)
        self._keep(tick_for_ever(board))
        return board

    def _broker_state(self) -> BrokerState:
        """Return the broker as the listener to its replies knows it."""
        kind = kind_of(self._settings.broker_url or "", is_embedded=self._broker is not None)
        return BrokerState(ok=self._hears_broker(), error=self._why_deaf(), kind=kind)

    async def _read_journal(self, place: Place, app: celery.Celery, broker_url: str) -> tuple[Journal, Facts]:
        """Return where decisions are written from now on, and what the master before this one wrote."""
        is_fake = broker_url.startswith("redis+socket:") and self._broker is not None
        journal = Journal(store_of(place, app, broker_url, is_fake=is_fake))
        facts = await asyncio.to_thread(journal.load, fresh=self._settings.fresh)
        journal.start()
        self._stack.push_async_callback(asyncio.to_thread, journal.stop)
        return journal, facts

    async def _make_client(self) -> httpx.AsyncClient:
        """Return what calls workers on the master's own account."""
        headers = {"Authorization": f"Bearer {self._keys.fleet_token}"}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
        return await self._stack.enter_async_context(
            httpx.AsyncClient(headers=headers, transport=self._transport(limits), trust_env=False)
        )

    def _transport(self, limits: httpx.Limits) -> BoundedTransport:
        return BoundedTransport(httpx.AsyncHTTPTransport(verify=self._verify, limits=limits, trust_env=False))

    @property
    def _asked(self) -> str | None:
        """The token asked of callers; None lets everybody in."""
        return None if self._settings.no_auth else self._keys.cluster.current

    def _start_gateway(self, routes: Routes, fleet: Fleet, access: Access) -> Gateway:
        gateway = Gateway(
            routes,
            fleet,
            token=self._asked,
            worker_token=self._keys.fleet_token,
            timeout_s=self._settings.proxy_timeout_s,
            verify=self._verify,
            others=access.opens_env,
            methods=Methods(MASTER_CALLS),
            limits=Limits.of(self._settings),
        )
        gateway.start()
        self._stack.push_async_callback(gateway.close)
        return gateway

    def _on_rotated(self, gateway: Gateway, client: httpx.AsyncClient) -> None:
        """Go over to a new cluster token: towards clients now, towards workers once they have surely seen it."""
        gateway.expect(self._asked)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(GRACE_S / 2, self._show_workers, gateway, client)
        self._stack.callback(timer.cancel)

    def _show_workers(self, gateway: Gateway, client: httpx.AsyncClient) -> None:
        gateway.show_workers(self._keys.fleet_token)
        client.headers["Authorization"] = f"Bearer {self._keys.fleet_token}"

    async def _make_watch(self, fleet: Fleet) -> Watch:
        """Return what asks workers whether they live, each on a new connection: an old one would not tell."""
        limits = httpx.Limits(max_keepalive_connections=0)
        client = await self._stack.enter_async_context(
            httpx.AsyncClient(transport=self._transport(limits), trust_env=False)
        )
        return Watch(fleet, client, timeout_s=min(TIMEOUT_S, self._settings.heartbeat_s))

    async def _start_celery(
        self, app: celery.Celery, place: Place, tasks: TaskStats, fleet: Fleet, dead_queues: DeadQueues
    ) -> CeleryDispatcher:
        """Start what sends creates to the broker, and what listens to it."""
        loop = asyncio.get_running_loop()
        replies = ReplyListener(
            app,
            place.name,
            lambda task_id, state, result, _tb: _call(loop, dispatcher.on_reply, task_id, state, result),
        )
        replies.on_reconnect = lambda: _call(loop, _after_outage, dispatcher, dead_queues)
        self._hears_broker = lambda: replies.wait_until_consuming(0)
        self._why_deaf = lambda: replies.error
        events = EventListener(app, into(loop, tasks, fleet))
        sender = Sender(app)
        dispatcher = CeleryDispatcher(
            sender,
            replies.queue_name,
            timeout_s=self._settings.create_timeout_s,
            on_late=lambda opened: fleet.report(opened.worker_id, opened.env_id),
        )
        for listener in (replies, events):
            await asyncio.to_thread(listener.start)
        self._stack.push_async_callback(_stop_listeners, replies, events)
        self._stack.push_async_callback(asyncio.to_thread, sender.close)
        return dispatcher

    async def _serve(self, parts: MasterParts) -> None:
        app = make_master_app(parts, add_pages=self._add_pages, open_paths=self._open_paths)
        protocol: type[HttpToolsProtocol] = parts.gateway.protocol()
        if self._settings.tls.is_mutual:
            app, protocol = RequireCertificate(app, WORKER_CALLS), telling_certificates(protocol)
        server = HttpServer(app, self._bound, protocol=protocol, tls=self._tls)
        await server.start()
        self._stack.push_async_callback(server.stop)
        if parts.board is not None:
            self._stack.callback(parts.board.feed.stop)  # the server waits for its listeners
        self._stack.callback(parts.hands.stop)  # and for agents that wait for a person
        self._stack.callback(
            parts.creates.stop
        )  # before the server's end: clients that wait get their answer

    async def _start_broker(self, place: Place) -> str:
        broker = EmbeddedBroker(place.folder, self._settings.host)
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
    keys: Keyring | None = None,
) -> None:
    """Run a master until SIGTERM or SIGINT.

    Args:
        settings: All of its settings.
        token: The cluster token.
        add_pages: Adds the dashboard's pages to the app.
        open_paths: Paths that need no token.
        on_ready: Called with the master's URL once it serves.
        keys: Who bears which token; None knows ``token`` alone.

    Raises:
        StartupFailed: The port is taken, a file of ``settings.tls`` cannot be used, or the embedded broker did not
            start.
    """
    bound = bind(settings.host, settings.port, auto_port=settings.auto_port)
    loop = LoopThread("master")
    loop.start()
    try:
        master = Master(settings, token, bound, add_pages=add_pages, open_paths=open_paths, keys=keys)
        with caught_signals() as wait:
            loop.run(master.start(), START_TIMEOUT_S)
            shorten_pauses()
            if settings.broker_url:
                logger.info("broker: %s", safe_url(settings.broker_url))
            on_ready(f"{settings.tls.scheme}://{shown_host(settings.host)}:{bound.getsockname()[1]}")
            wait()
            loop.run(master.stop(), START_TIMEOUT_S)
    finally:
        loop.stop()
        bound.close()


def _on_lost(creates: Creates, dead_queues: DeadQueues) -> Callable[[str, frozenset[str]], None]:
    """Return what follows the end of a worker's process."""

    def on_lost(worker_id: str, queues: frozenset[str]) -> None:
        creates.worker_lost(worker_id)
        dead_queues.delete(queues)

    return on_lost


async def _stop_listeners(*listeners: Listener) -> None:
    await asyncio.gather(*(asyncio.to_thread(listener.stop) for listener in listeners))


def _after_outage(dispatcher: CeleryDispatcher, dead_queues: DeadQueues) -> None:
    """Do what the broker's absence may have undone, or kept from being done."""
    dispatcher.send_again()
    dead_queues.again()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: object) -> None:
    """Run a function on the loop, from a listener's thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *arguments)
