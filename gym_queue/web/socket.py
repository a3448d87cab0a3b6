"""A WebSocket's connection: uvicorn's, which hangs up on a peer that has stopped reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Told when it is lost.

    Args:
        on_lost: Called once.
    """

    def __init__(self, on_lost: Callable[[], None], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._on_lost = on_lost

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell."""
        super().connection_lost(exc)
        self._on_lost()

    def keepalive_timeout(self) -> None:
        """Hang up at once: a peer that answers no ping may read nothing either, and would hold what is unsent for ever."""
        super().keepalive_timeout()
        self.transport.abort()
