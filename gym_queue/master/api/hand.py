"""The calls between people at the dashboard and the agents that carry out what they do."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response

from gym_queue.errors import MasterRecovering
from gym_queue.master.fleet import Fleet
from gym_queue.master.hands import Hands
from gym_queue.master.routes import Routes
from gym_queue.protocol.actions import parse_actions
from gym_queue.protocol.hand import PATH, HandAsk, HandInput, HandPlaced, HandView
from gym_queue.web.gone import unless_gone

JSON = "application/json"


def add_hand(app: FastAPI, hands: Hands, routes: Routes, fleet: Fleet) -> None:
    """Add the calls to a master's app.

    Args:
        app: Answers them.
        hands: The mailboxes.
        routes: Knows the environments.
        fleet: Knows whether some of them are yet to be reported.
    """

    def check(env_id: str) -> None:
        """Refuse an environment that is not there; one that is yet to be reported may be asked for again."""
        if routes.find(env_id) is None and routes.ended(env_id) is None and fleet.is_recovering:
            raise MasterRecovering(
                f"the master has just restarted, and environment {env_id[:128]} may be one that its worker is yet to report: try again",
                {"sent": False, "retry_after_s": 1},
            )
        routes.forwardable(env_id)

    @app.get(PATH)
    async def show(env_id: str) -> HandView:
        """Whether an agent waits for a person's input, what it tells, and the inputs that wait."""
        return hands.show(env_id, check)

    @app.post(PATH)
    async def put(env_id: str, given: HandInput) -> HandPlaced:
        """Give the agent of an environment the next input."""
        parse_actions(given.actions)
        return hands.put(env_id, given, check)

    @app.post(f"{PATH}/next", response_model=None)
    async def take(env_id: str, ask: HandAsk, http: Request) -> Any:
        """Wait, as an environment's agent, for the next input."""
        found = await unless_gone(http, hands.take(env_id, ask, check))
        return (
            Response(status_code=204) if found is None else Response(found.model_dump_json(), media_type=JSON)
        )
