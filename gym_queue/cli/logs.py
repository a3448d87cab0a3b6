"""``gym-anything logs``: what master, worker and the environment itself logged about one environment."""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gym_queue.cli.draining import DEFAULT_URL, RemoteUrl
from gym_queue.client.calls import Call
from gym_queue.client.retry import BRIEF
from gym_queue.client.transport import Transport, transport_to
from gym_queue.errors import EnvLost, GymQueueError, NotFound, RequestInvalid
from gym_queue.log import one_line
from gym_queue.protocol.logs import MAX_LINES
from gym_queue.protocol.sessions import ENV_ID_PATTERN

TIMEOUT_S = 10.0
LOOK_EVERY_S = 1.0
REMEMBERED = 3 * MAX_LINES
STYLES = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}

Line = dict[str, Any]


def logs(
    env: Annotated[str, typer.Argument(help="The environment's id.")],
    remote_url: RemoteUrl = DEFAULT_URL,
    lines: Annotated[int, typer.Option(min=1, max=MAX_LINES, help="Lines at most, the latest.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the environment ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each line as a JSON object.")] = False,
) -> None:
    """Show what was logged about an environment by its master, its worker and its own process, oldest first.

    Example: gym-anything logs 0f8fad5b-d9cb-469f-a165-70867728950e --follow
    """
    if not re.fullmatch(ENV_ID_PATTERN, env):
        raise RequestInvalid(
            f"{one_line(env[:80])!r} is no environment's id: copy it from the create or the dashboard"
        )
    show = _print_json if as_json else _printer(Console(highlight=False, soft_wrap=True))
    with closing(transport_to(remote_url)) as transport:
        desk = _Desk(transport, env, lines)
        found, notes = desk.ask()
        show(found[-lines:])
        while follow and not desk.has_ended:
            time.sleep(LOOK_EVERY_S)
            found, notes = desk.ask()
            show(found)
    for note in notes:
        typer.echo(note, err=True)


class _Desk:
    """Asks for lines, and tells those that were told before."""

    def __init__(self, transport: Transport, env_id: str, limit: int) -> None:
        self._transport, self._env_id, self._limit = transport, env_id, limit
        health = transport.send(Call("GET", "/health", timeout_s=TIMEOUT_S, retries=BRIEF))
        places = (f"/api/logs/{env_id}", f"/envs/{env_id}/logs")
        self._places = places if health.get("role") == "master" else places[1:]
        self._told: OrderedDict[str, None] = OrderedDict()
        self.has_ended = False

    def ask(self) -> tuple[list[Line], list[str]]:
        """Return the lines that were not told before, oldest first, and what keeps others from being here.

        Raises:
            GymQueueError: Nobody knows the environment, or nobody may tell.
        """
        lines, notes, errors = list[Line](), list[str](), list[GymQueueError]()
        for place in self._places:
            try:
                call = Call("GET", f"{place}?limit={self._limit}", timeout_s=TIMEOUT_S, retries=BRIEF)
                reply = self._transport.send(call)
            except GymQueueError as error:
                errors.append(error)
                continue
            lines += reply["lines"]
            if reply.get("note"):
                notes.append(str(reply["note"]))
        if len(errors) == len(self._places):
            raise errors[0]
        self.has_ended = bool(notes) or any(isinstance(error, NotFound | EnvLost) for error in errors)
        notes += [] if notes else [error.message for error in errors]
        return sorted(filter(self._is_new, lines), key=lambda line: float(line["at"])), notes

    def _is_new(self, line: Line) -> bool:
        key = json.dumps(line, sort_keys=True)
        is_new = key not in self._told
        self._told[key] = None
        self._told.move_to_end(key)
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return is_new


def _print_json(lines: Iterable[Line]) -> None:
    for line in lines:
        typer.echo(json.dumps({key: value for key, value in line.items() if value is not None}))


def _printer(console: Console) -> Callable[[Iterable[Line]], None]:
    def show(lines: Iterable[Line]) -> None:
        for line in lines:
            console.print(_shown(line))

    return show


def _shown(line: Line) -> Text:
    """Return a line for people; what environments wrote in it cannot speak to the terminal."""
    level, at = str(line["level"]), datetime.fromtimestamp(float(line["at"]))
    ids = f" request_id={line['request_id']}" if line.get("request_id") else ""
    text = Text()
    text.append(f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} ", "dim")
    text.append(f"{one_line(level):7} {line['source']!s:6} ", STYLES.get(level, ""))
    text.append(one_line(f"{line['logger']}: {line['text']}"), STYLES.get(level, ""))
    text.append(one_line(ids), "dim")
    for part in str(line.get("exception") or "").splitlines():
        text.append("\n    " + one_line(part), "dim")
    return text
