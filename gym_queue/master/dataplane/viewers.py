"""What browsers may ask for environments: the WebSockets, and the calls of our own page, that a gateway lets through."""

from __future__ import annotations

import re

from gym_queue.errors import Forbidden
from gym_queue.master.dataplane.head import RequestHead
from gym_queue.web.auth import is_own_page, is_said_by_page

CALL = "vnc"
_ORIGIN = re.compile(rb"^origin:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_SITE = re.compile(rb"^sec-fetch-site:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_PAGE = re.compile(rb"^x-gym-queue-page:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


def bears_ticket(head: RequestHead, call: str) -> bool:
    """Whether a viewer comes with a ticket: its worker, which gave it, judges that alone, and is shown no token."""
    if call != CALL or not head.is_upgrade:
        return False
    return any(part.startswith(b"ticket=") for part in head.target.partition(b"?")[2].split(b"&"))


def check_page(head: RequestHead, env_id: str) -> None:
    """See that a WebSocket whom a cookie, or nothing, lets in is not asked for by another server's page.

    Raises:
        Forbidden: It is.
    """
    if b"authorization" in head.fields:  # no page can make a browser send it
        return
    origin = _ORIGIN.search(head.rest)
    host = head.fields.get(b"host", b"").decode("latin-1")
    if origin is not None and not is_own_page(origin[1].strip().decode("latin-1"), host):
        raise Forbidden(
            f"the page is not this server's: let it ask for a ticket by POST /envs/{env_id}/vnc_ticket, and connect with ?ticket="
        )


def is_page_call(head: RequestHead) -> bool:
    """Whether a page of this very server made a call, as the app judges it (gym_queue.web.auth)."""
    page, origin, site = (_only(pattern, head.rest) for pattern in (_PAGE, _ORIGIN, _SITE))
    return is_said_by_page(
        page=page, origin=origin, site=site, host=head.fields.get(b"host", b"").decode("latin-1")
    )


def _only(pattern: re.Pattern[bytes], lines: bytes) -> str:
    """Return a header's value; of one that comes twice, something that is neither."""
    return b", ".join(value.strip(b" \t") for value in pattern.findall(lines)).decode("latin-1")
