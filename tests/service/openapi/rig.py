"""Schemathesis against a real master and a real worker: every phase but the stateful one, every check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest
import requests
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.hooks import GLOBAL_HOOK_DISPATCHER

from gym_queue.testing import Fleet, FleetSetup
from tests.service.openapi.live import AUTH, SEED, TOKEN, GuessingAdapter, Hooks

UNDERSTOOD = ["2xx", "303", "304", "403", "404", "409", "410", "422"]
"""Statuses that a request which follows the schema may get."""
REFUSED = ["400", "401", "403", "404", "405", "406", "409", "410", "415", "422", "428", "429", "5xx"]
"""Statuses that a request which breaks the schema may get: schemathesis' own, and that of an environment that has gone."""
ENDLESS = ["get_api_live"]
"""What never comes to its end; it has tests of its own (tests/service/master/test_api_live.py)."""
MEANT = {"request_invalid", "malformed"}
"""Codes that a request which follows the schema never gets."""

NO_STATE = "is no saved state"
"""What load_state alone may say: names of other files of the episode are given to it, whose form is not wrong."""


@dataclass
class Outcome:
    """What a run found."""

    phases: Counter[str] = field(default_factory=Counter)
    """Cases by phase."""
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Answers by operation and status."""
    problems: dict[str, str] = field(default_factory=dict)
    """What is wrong → the call that shows it."""

    @property
    def cases(self) -> int:
        """How many cases were tried."""
        return self.phases.total()

    def note(self, phase: str, recorder: ScenarioRecorder) -> None:
        """Count what one operation's cases came to."""
        self.phases[phase] += len(recorder.cases)
        for interaction in recorder.interactions.values():
            if interaction.response is not None:
                self.statuses[recorder.label, interaction.response.status_code] += 1
        for checks in recorder.checks.values():
            for check in checks:
                if check.failure_info is not None:
                    failure = check.failure_info.failure
                    what = f"{recorder.label}: {check.name}: {failure.title}: {failure.message}"
                    self.problems.setdefault(what[:500], check.failure_info.code_sample[:2000])


@contextmanager
def started_fleet() -> Iterator[Fleet]:
    """Run a master and a worker that ask for a token."""
    setup = FleetSetup(
        workers=1,
        max_envs=8,
        worker_arguments=("--runners", "fake,local"),
        master_arguments=("--queue-timeout", "5"),
        variables={"GYM_ANYTHING_TOKEN": TOKEN},
    )
    with Fleet(setup) as fleet:
        yield fleet


def fuzz(fleet: Fleet, program: str, *, max_examples: int) -> Outcome:
    """Try everything a program's schema describes.

    Args:
        fleet: Runs the programs.
        program: master or worker.
        max_examples: Of each operation, in the phase of fuzzing.
    """
    url = (fleet.url if program == "master" else fleet.worker_urls[0]).replace("localhost", "127.0.0.1")
    config = SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "base-url": url,
            "headers": AUTH,
            "continue-on-failure": True,
            "request-timeout": 10,
            "workers": 1,
            "generation": {
                "max-examples": max_examples,
                "deterministic": True,
                "database": "none",
                "with-security-parameters": False,
            },
            "checks": {
                "positive_data_acceptance": {"expected-statuses": UNDERSTOOD},
                "negative_data_rejection": {"expected-statuses": REFUSED},
            },
            "operations": [
                {
                    "include-path": "/dashboard/login",
                    "checks": {"positive_data_acceptance": {"expected-statuses": [*UNDERSTOOD, "401"]}},
                },
                {
                    "include-path": "/envs/{env_id}/vnc",  # no case asks for a WebSocket
                    "checks": {
                        "positive_data_acceptance": {"expected-statuses": [*UNDERSTOOD, "426"]},
                        "negative_data_rejection": {"expected-statuses": [*REFUSED, "426"]},
                    },
                },
            ],
            "phases": {"stateful": {"enabled": False}},
        }
    )
    outcome = Outcome()
    with httpx.Client(base_url=url, headers=AUTH, timeout=20, trust_env=False) as http:
        described = schemathesis.openapi.from_dict(http.get("/openapi.json").json(), config=config)
        schema = described.exclude(operation_id=ENDLESS)
        with _hooked(Hooks(http, fleet.worker_urls[0])), pytest.MonkeyPatch.context() as patch:
            patch.setattr(requests.sessions, "HTTPAdapter", GuessingAdapter)
            for event in from_schema(schema).execute():
                if isinstance(event, events.ScenarioFinished):
                    outcome.note(event.phase.value, event.recorder)
                elif isinstance(event, events.NonFatalError):
                    outcome.problems[f"{event.label}: {event.value}"] = "no case"
                elif isinstance(event, events.FatalError):
                    raise event.exception
    return outcome


@contextmanager
def _hooked(hooks: Hooks) -> Iterator[None]:
    """Put hooks between schemathesis and the program, and take them away again."""

    @schemathesis.hook
    def before_call(context: HookContext, case: Case, kwargs: dict[str, object]) -> None:
        hooks.before_call(case)

    @schemathesis.hook
    def after_call(context: HookContext, case: Case, response: Response) -> None:
        hooks.after_call(case, response)

    try:
        yield
    finally:
        GLOBAL_HOOK_DISPATCHER.unregister(before_call)
        GLOBAL_HOOK_DISPATCHER.unregister(after_call)
        hooks.finish()


@schemathesis.check
def what_follows_the_schema_is_understood(ctx: CheckContext, response: Response, case: Case) -> None:
    """A request that follows the schema may ask for what there is not, and is never called invalid for its form."""
    if (
        case.meta is None
        or not case.meta.generation.mode.is_positive
        or response.status_code not in (400, 422)
    ):
        return
    body = response.json()
    if case.operation.path.endswith("/load_state") and NO_STATE in body["error"]:
        return
    if body.get("code") in MEANT:
        raise Failure(
            operation=case.operation.label,
            title="Follows the schema and is called invalid",
            message=body["error"],
        )
