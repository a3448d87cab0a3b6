"""The commands of ``gym-anything run -i``: what one can ask of a live environment, a line each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gym_queue.cli.viewers import Place
from gym_queue.errors import RequestInvalid
from gym_queue.protocol.surface import GymEnv

CLICKS: Mapping[str, str] = {
    "click": "left_click",
    "double": "double_click",
    "triple": "triple_click",
    "right": "right_click",
    "middle": "middle_click",
    "move": "move",
}
Say = Callable[[str], None]


@dataclass
class Live:
    """An environment that somebody works with."""

    env: GymEnv
    name: str
    seed: int
    say: Say
    find_viewer: Callable[[], Place]
    opens_port: bool = True
    """Whether finding the viewer opens a port of this machine, that its other users can reach."""
    observation: dict[str, Any] = field(default_factory=dict)
    verdict: dict[str, Any] | None = None
    has_ended: bool = False

    def begin(self) -> None:
        """Reset the environment, without the limits that a task has for agents: people take their time."""
        self.say(f"setting up {self.name} ..")
        self.observation = self.env.reset(self.seed)
        self.env.set_episode_limits(max_steps=1_000_000, timeout_sec=604_800.0)

    def look(self) -> dict[str, Any]:
        """Return what the environment shows now."""
        self.observation = self.env.capture_observation()
        return self.observation

    def act(self, *actions: dict[str, Any], settle: bool = True) -> None:
        """Inject actions, and take what is seen then.

        Raises:
            RequestInvalid: One is not an action of this environment; none was injected.
        """
        self._step(list(actions), settle=settle)

    def finish(self) -> None:
        """End the episode and have it judged."""
        self._step([], mark_done=True)

    def _step(self, actions: list[dict[str, Any]], *, settle: bool = True, mark_done: bool = False) -> None:
        seen, _, done, info = self.env.step(actions, 0.0, mark_done, settle_after_actions=settle)
        self.observation = seen
        if done:
            self.has_ended, self.verdict = True, info.get("verifier")


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    usage: str
    what: str
    run: Callable[[Live, str], None]


def run_line(live: Live, line: str) -> None:
    """Carry out one line.

    Raises:
        RequestInvalid: There is no such command, or its arguments are wrong; the sentence says which there are.
        GymQueueError: As the environment answered.
    """
    word, _, rest = line.strip().partition(" ")
    if not word:
        return
    command = COMMANDS.get(word)
    if command is None:
        raise RequestInvalid(f"there is no command {word[:40]!r}: help lists {', '.join(COMMANDS)}")
    command.run(live, rest.strip())


def _help(live: Live, _rest: str) -> None:
    width = max(len(command.usage) for command in COMMANDS.values())
    for command in COMMANDS.values():
        live.say(f"{command.usage:{width}}  {command.what}")


def _task(live: Live, _rest: str) -> None:
    live.say(live.env.task_description or "no task was named: start with --task to have one")


def _screenshot(live: Live, rest: str) -> None:
    save_screen(live.look(), Path(rest or "screenshot.png").expanduser(), flag="screenshot")
    live.say(f"written: {rest or 'screenshot.png'}")


def save_screen(observation: Mapping[str, Any], path: Path, *, flag: str) -> None:
    """Write an observation's screen as a PNG.

    Raises:
        RequestInvalid: It has none, or the file cannot be written; the sentence begins with ``flag``.
    """
    if "screen" not in observation:
        raise RequestInvalid(f"{flag}: this environment has no screen")
    try:
        observation["screen"].save(path)
    except OSError as error:
        raise RequestInvalid(f"{flag}: {path} cannot be written: {error.strerror or error}") from error


def _mouse(live: Live, rest: str) -> None:
    words = rest.split()
    try:
        x, y = int(words[0]), int(words[1])
        kind = CLICKS[words[2] if len(words) > 2 else "click"]
    except (IndexError, ValueError, KeyError):
        raise RequestInvalid(f"mouse: write mouse X Y, then one of {', '.join(CLICKS)}") from None
    live.act({"mouse": {kind: [x, y]}})


def _scroll(live: Live, rest: str) -> None:
    try:
        live.act({"mouse": {"scroll": int(rest)}})
    except ValueError:
        raise RequestInvalid("scroll: write scroll N, clicks of the wheel; positive is down") from None


def _type(live: Live, rest: str) -> None:
    live.act({"keyboard": {"text": rest}})


def _keys(live: Live, rest: str) -> None:
    if not rest:
        raise RequestInvalid("keys: write the chord, such as keys ctrl+s")
    live.act({"keyboard": {"keys": rest}})


def _action(live: Live, rest: str) -> None:
    live.act(parse_action(rest, flag="action"))


def parse_action(text: str, *, flag: str) -> dict[str, Any]:
    """Return an action that was written as JSON.

    Raises:
        RequestInvalid: It is not JSON, or not an object; the sentence begins with ``flag``.
    """
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise RequestInvalid(f"{flag} {text!r} is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise RequestInvalid(f"{flag} {text!r} is not a JSON object")
    return parsed


def _info(live: Live, _rest: str) -> None:
    session = live.env.get_session_info()
    for key, value in (session.model_dump(mode="json") if session else {}).items():
        if value not in (None, [], ""):
            live.say(f"{key}: {value}")


def _view(live: Live, rest: str) -> None:
    place = live.find_viewer()
    for line in place.lines:
        live.say(line)
    if rest == "open" and (why := place.open()):
        live.say(why)


def _reset(live: Live, rest: str) -> None:
    if rest:
        try:
            live.seed = int(rest)
        except ValueError:
            raise RequestInvalid("reset: write reset, or reset SEED with a whole number") from None
    live.begin()


def _done(live: Live, _rest: str) -> None:
    live.finish()


def _close(live: Live, _rest: str) -> None:
    live.has_ended = True


COMMANDS: Mapping[str, Command] = {
    "screenshot": Command("screenshot FILE", "write the screen to a PNG", _screenshot),
    "mouse": Command("mouse X Y click", "or double, triple, right, middle, move", _mouse),
    "scroll": Command("scroll N", "turn the wheel at the pointer; positive is down", _scroll),
    "type": Command("type TEXT", "type a text", _type),
    "keys": Command("keys ctrl+s", "press a chord", _keys),
    "action": Command("action JSON", "any action, as agents send it", _action),
    "task": Command("task", "show what is to be done", _task),
    "info": Command("info", "show what runs behind the environment", _info),
    "view": Command("view [open]", "say where the screen can be watched; open it", _view),
    "reset": Command("reset [SEED]", "start the episode anew", _reset),
    "done": Command("done", "end the episode, and have it judged", _done),
    "close": Command("close", "end without a verdict", _close),
    "help": Command("help", "show this", _help),
}
