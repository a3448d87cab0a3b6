"""Which methods an address takes, by the table of calls."""

from __future__ import annotations

from collections.abc import Iterable

from gym_queue.protocol.calls import Call

ENVS = ("/envs/", "/api/envs/")
"""What an environment's id follows, and a call of it."""


class Methods:
    """The methods of a program's addresses.

    Args:
        calls: Everything it answers.
    """

    def __init__(self, calls: Iterable[Call]) -> None:
        found: dict[str, set[str]] = {}
        for call in calls:
            found.setdefault(call.path, set()).add(call.method)
        self._by_path = {path: tuple(sorted(methods)) for path, methods in found.items()}

    def of(self, path: str) -> tuple[str, ...]:
        """Return the methods of a path, in the order of the alphabet; none of one that nothing serves.

        Args:
            path: Without its query.
        """
        exact = self._by_path.get(path)
        envs = next((each for each in ENVS if path.startswith(each)), None)
        if exact is not None or envs is None:
            return exact or ()
        env_id, slash, call = path.removeprefix(envs).partition("/")
        return self._by_path.get(f"{envs}{{env_id}}{slash}{call}", ()) if env_id else ()
