"""What tells the worker that registered from whoever else has the worker token."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping

from gym_queue.errors import Forbidden
from gym_queue.master.facts import NoNotes, Notes
from gym_queue.master.memory import Memory
from gym_queue.master.tokens import digest_of_token
from gym_queue.protocol.sessions import Message

SECRET = "worker_secret"  # noqa: S105  kind of the facts
KEPT = 20_000
"""Workers whose secret is remembered: a fleet's, many times over."""


class SecretFact(Message):
    """A worker was given a secret."""

    digest: str
    is_demanded: bool
    """Whether it said that it bears one, or did: what comes without it is not from it."""


class WorkerSecrets:
    """A secret for each worker, handed out with its registration.

    A worker that never bore its secret, of before there were any, is believed without: as far as the worker token
    goes, whoever has it can speak for such a worker. One that bore it once, or said at its registration that it will,
    is held to it from then on.

    Args:
        notes: Where the hashes are written down.
    """

    def __init__(self, notes: Notes | None = None) -> None:
        self._facts = Memory(SECRET, SecretFact, notes or NoNotes(), limit=KEPT)

    def is_proven(self, worker_id: str, given: str | None) -> bool:
        """Return whether a registration under this id need not be doubted: it bears the secret, or none is demanded."""
        fact = self._facts.get(worker_id)
        return fact is None or _fits(fact, given) or (given is None and not fact.is_demanded)

    def issue(self, worker_id: str, given: str | None, *, will_bear: bool) -> str:
        """Return the secret of a worker that is let in: the one it bears if that is right, else a new one.

        Args:
            worker_id: The worker.
            given: What it bore.
            will_bear: Whether it says that it bears what it is given.
        """
        fact = self._facts.get(worker_id)
        if fact is not None and given is not None and _fits(fact, given):
            self._demand(worker_id, fact)
            return given
        fresh = secrets.token_urlsafe(32)
        self._facts.put(worker_id, SecretFact(digest=digest_of_token(fresh), is_demanded=will_bear))
        return fresh

    def check(self, worker_id: str, given: str | None) -> None:
        """Refuse what does not come from the worker that registered.

        Raises:
            Forbidden: The secret is wrong, or missing where this worker bears one.
        """
        fact = self._facts.get(worker_id)
        if fact is None or (given is None and not fact.is_demanded):
            return
        if not _fits(fact, given):
            raise Forbidden(
                f"this is not from the worker that registered as {worker_id}: send its worker_secret as X-Worker-Secret, or register under another id"
            )
        self._demand(worker_id, fact)

    def forget(self, worker_id: str) -> None:
        """Forget the secret of a worker that left."""
        self._facts.pop(worker_id)

    def restore(self, facts: Mapping[str, Mapping[str, str]]) -> None:
        """Take back what an earlier master wrote down."""
        self._facts.restore(facts)

    def _demand(self, worker_id: str, fact: SecretFact) -> None:
        if not fact.is_demanded:
            self._facts.put(worker_id, fact.model_copy(update={"is_demanded": True}))


def _fits(fact: SecretFact, given: str | None) -> bool:
    return given is not None and hmac.compare_digest(digest_of_token(given), fact.digest)
