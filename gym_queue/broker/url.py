"""Broker URLs as they may be shown."""

from __future__ import annotations

import re


def safe_url(url: str) -> str:
    """Return a broker's URL without user, password and options.

    Everything up to the last ``@`` counts as credentials, so that no half of an unquoted password is left.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "<not a URL>"
    place = rest.rpartition("@")[2]
    return f"{scheme}://{re.split(r'[?#]', place)[0]}"
