"""The dashboard as a program of its own: the same page, and a read-only view of a master elsewhere."""

from __future__ import annotations

import httpx
from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp

from gym_queue.dashboard.pages import OPEN_PATHS, add_pages
from gym_queue.errors import BadReply, MasterUnreachable
from gym_queue.tls import TlsFiles, explain, verify_of
from gym_queue.version import __version__
from gym_queue.web.attempts import Attempts, AttemptsMiddleware
from gym_queue.web.auth import TokenMiddleware, same_token
from gym_queue.web.errors import install_error_handlers
from gym_queue.web.requestid import RequestIdMiddleware

READ_PATHS = ("/workers/list", "/queue", "/api/tasks", "/envs/list")
"""All that is asked of the master, by GET."""
MASTER_HEADER = "X-Gym-Queue-Master"
"""Tells the page the master's URL, which is not its own."""
READ_TIMEOUT_S = 4.0
"""Shorter than the page's own patience, so that it learns the reason."""


class MasterReader:
    """Reads what the page shows from a master.

    Args:
        master_url: Its URL, without credentials.
        token: Sent to the master, and to nobody else; None sends none.
        tls: What an https master is verified by.

    Raises:
        StartupFailed: A file of ``tls`` cannot be used.
    """

    def __init__(self, master_url: str, token: str | None, *, tls: TlsFiles | None = None) -> None:
        self.url = master_url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        verify = verify_of(tls or TlsFiles())
        self._client = httpx.AsyncClient(
            headers=headers, timeout=READ_TIMEOUT_S, trust_env=False, verify=verify
        )

    async def read(self, path: str) -> bytes:
        """Return the JSON that the master answers.

        Raises:
            MasterUnreachable: It does not answer.
            BadReply: It refuses the token, or answers something else than JSON.
        """
        try:
            reply = await self._client.get(self.url + path)
        except httpx.HTTPError as error:
            reason = explain(error) or str(error) or type(error).__name__
            raise MasterUnreachable(
                f"the master at {self.url} does not answer ({reason}): is it running, and is --master-url right?"
            ) from error
        if reply.status_code == 401:
            # Not handed on as a 401: the browser's token is right, this program's is not.
            raise BadReply(f"the master at {self.url} refuses this dashboard's token: start it with --token")
        if reply.status_code != 200 or not reply.headers.get("content-type", "").startswith(
            "application/json"
        ):
            raise BadReply(
                f"GET {path} of {self.url} answered {reply.status_code} where JSON was due: is it a master?"
            )
        return reply.content

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def make_dashboard_app(master: MasterReader, *, access_token: str | None) -> ASGIApp:
    """Return the standalone dashboard's ASGI app.

    Args:
        master: Where its data come from.
        access_token: What its own callers must show; None lets everybody in.
    """
    app = FastAPI(title="Gym Queue dashboard", version=__version__)
    install_error_handlers(app)
    add_pages(
        app, check_token=None if access_token is None else lambda given: same_token(given, access_token)
    )

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the dashboard serves, whatever its master does."""
        return {"status": "healthy", "role": "dashboard"}

    async def relay(request: Request) -> Response:
        """What the master answers to the same call."""
        content = await master.read(request.url.path)
        headers = {MASTER_HEADER: master.url, "Cache-Control": "no-store"}
        return Response(content, media_type="application/json", headers=headers)

    for path in READ_PATHS:
        app.add_api_route(path, relay, methods=["GET"])
    check = None if access_token is None else lambda _path, given: same_token(given, access_token)
    guarded = TokenMiddleware(app, check=check, open_paths=OPEN_PATHS)
    return RequestIdMiddleware(AttemptsMiddleware(guarded, Attempts()))
