"""The calls that the dashboard makes, and who may make them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.service.hostile.cluster import FINE, FORBIDDEN, UNAUTHORIZED, Verdict

NO_CALL = (404, "not_found")
RANGED = (206, None)


@dataclass(frozen=True)
class Look:
    """One call that reads."""

    kind: str
    """The fleet's, an environment's, or a finished episode's."""
    master: str
    """Its address at the master; empty where only a worker has it."""
    worker: str = ""
    """Its address at a worker."""

    def target(self, program: str, **ids: str) -> str:
        """Return its address at a program."""
        return (self.master if program == "master" else self.worker).format(**ids)


LISTS = ("workers", "tasks", "queue", "envs")
FLEET = (*LISTS, "masters", "overview", "fleet", "history", "broker", "tasks/{env_id}", "logs/{env_id}")
ENV = ("screen", "calls", "trajectory", "artifacts", "logs")
OLD = "episodes/{past_id}/episode_001"
LOOKS = {
    "me": Look("me", "/api/me"),
    **{name: Look("fleet", f"/api/{name}") for name in FLEET},
    "episodes": Look("fleet", "/api/episodes", "/episodes"),
    "episode": Look("episode", f"/workers/worker-1/{OLD}", f"/{OLD}"),
    "file": Look("episode", f"/workers/worker-1/{OLD}/file?path=frame_00000.png", f"/{OLD}/file?path=frame_00000.png"),
    **{f"env's {name}": Look("env", f"/envs/{{env_id}}/{name}", f"/envs/{{env_id}}/{name}") for name in ENV},
}  # fmt: skip
DOORS: dict[tuple[str, str], dict[str, Verdict]] = {
    ("master", "me"): dict.fromkeys(
        ("operator", "page", "another page", "client", "worker", "metrics"), FINE
    ),
    ("master", "fleet"): dict.fromkeys(("operator", "page", "another page"), FINE),
    ("master", "episode"): dict.fromkeys(("operator", "page", "another page"), FINE),
    ("master", "env"): dict.fromkeys(("operator", "page", "another page", "client"), FINE),
    ("worker", "fleet"): {"worker": FINE},
    ("worker", "episode"): {"worker": FINE},
    ("worker", "env"): {"worker": FINE, "own": FINE},
}
"""Program, kind of call → who is let in; all others are refused."""
AT_MASTER = ("operator", "page", "another page", "client", "worker", "metrics", "none")
AT_WORKER = ("worker", "own", "client", "none")


def rows() -> list[tuple[str, str, str, Verdict]]:
    """Return every call by every caller: its name, the program, the caller, what it is answered."""
    found = []
    for (program, kind), doors in DOORS.items():
        callers = AT_MASTER if program == "master" else AT_WORKER
        for name, look in LOOKS.items():
            if look.kind == kind and look.target(program, env_id="e", past_id="p"):
                found += [
                    (name, program, caller, doors.get(caller) or _refusal(program, caller))
                    for caller in callers
                ]
    return found  # fmt: skip


def _refusal(program: str, caller: str) -> Verdict:
    return UNAUTHORIZED if caller == "none" or program == "worker" else FORBIDDEN
