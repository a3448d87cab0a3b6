"""Verifiers judge a finished episode: ``verify.verify``, whose modules are loaded with it, and dense rewards: ``shaping``."""

from __future__ import annotations

from gym_queue.verifiers.base import Verdict, VerifierLimits, VerifierRequest
from gym_queue.verifiers.mode import check_supported, verifier_mode

__all__ = [
    "Verdict",
    "VerifierLimits",
    "VerifierRequest",
    "check_supported",
    "verifier_mode",
]
