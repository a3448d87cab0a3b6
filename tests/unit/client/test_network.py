from __future__ import annotations

import asyncio
import socket
from typing import Any

from gym_queue.client.http1 import make_origin
from gym_queue.client.network import PEER_TIMEOUT_S, BlockingNetwork, LoopNetwork, run_now


def watched(sock: socket.socket) -> bool:
    timeout_ms = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    return (
        bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) and timeout_ms == PEER_TIMEOUT_S * 1000
    )


def test_connections_notice_a_machine_that_is_gone(server):
    async def connect():
        stream: Any = await LoopNetwork().connect(origin, None, 5.0)
        found = watched(stream._transport.get_extra_info("socket"))
        stream.close()
        return found

    origin = make_origin(server.url, None)
    stream: Any = run_now(BlockingNetwork().connect(origin, None, 5.0))
    assert watched(stream._socket)
    stream.close()
    assert asyncio.run(connect())
