"""Taking secrets out of texts that are kept and shown: what stands beside a telling name, or looks like a key."""

from __future__ import annotations

import re

HIDDEN = "(hidden)"
_VALUE = r"""(?:(?:bearer|basic)\s{1,4}\S+|"[^"\n]*"?|'[^'\n]*'?|[^\s,;&)}\]]+)"""
_NAMES = (
    *("token", "secret", "password", "passwd", "passphrase", "pwd", "_key", "-key", "apikey"),
    *("credential", "authorization", "cookie"),
)
_SCHEMES = ("bearer", "basic")
_PREFIXES = (
    *("sk-", "pk-", "rk-", "sk_", "pk_", "rk_", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-"),
    *("xoxa-", "xoxb-", "xoxp-", "hf_", "npm_", "AKIA", "AIza", "eyJ"),
)
# No pattern begins with a repetition, and none repeats one: each takes linear time, whatever the text.
_NAMED = re.compile(
    rf"""((?:{"|".join(_NAMES)})[\w-]{{0,40}}\\?["']?\s{{0,4}}[:=]\s{{0,4}}){_VALUE}""", re.IGNORECASE
)
_BEARER = re.compile(rf"\b({'|'.join(_SCHEMES)})\s{{1,4}}[A-Za-z0-9._~+/=-]{{8,}}", re.IGNORECASE)
_IN_URL = re.compile(r"://[^\s/@]{1,300}@")
_KEY = re.compile(rf"\b(?:{'|'.join(_PREFIXES)})[A-Za-z0-9._-]{{12,}}")


def redact(text: str) -> str:
    """Return a text without what looks like a token, a password or a key."""
    lower = text.lower()  # to look for the words first is some ten times as fast as the patterns
    if any(name in lower for name in _NAMES):
        text = _NAMED.sub(rf"\g<1>{HIDDEN}", text)
    if any(scheme in lower for scheme in _SCHEMES):
        text = _BEARER.sub(rf"\g<1> {HIDDEN}", text)
    if "://" in text and "@" in text:
        text = _IN_URL.sub(f"://{HIDDEN}@", text)
    return _KEY.sub(HIDDEN, text) if any(prefix in text for prefix in _PREFIXES) else text
