"""Any environment as a Gymnasium one. Needs ``pip install gym-queue[gymnasium]``.

>>> with RemoteGymEnv.from_config(url, "terminal_env", "largest_file") as env:
...     wrapped = GymnasiumEnv(env)
...     observation, info = wrapped.reset(seed=1)
...     observation, reward, terminated, truncated, info = wrapped.step(wrapped.action_space.sample())
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise ImportError("gym_queue.gymnasium needs Gymnasium: pip install 'gym-queue[gymnasium]'") from error

from gym_queue.errors import BadReply, RequestInvalid
from gym_queue.protocol.observations import Screen
from gym_queue.protocol.surface import GymEnv
from gym_queue.specs.env import EnvSpec

KINDS = (
    "wait",
    "move",
    "left_click",
    "right_click",
    "middle_click",
    "double_click",
    "triple_click",
    "left_click_drag",
    "right_click_drag",
    "scroll",
    "text",
    "key",
    "done",
)
"""What ``action["kind"]`` counts."""
KEYS = (
    *("enter", "tab", "escape", "backspace", "delete", "space", "up", "down", "left", "right"),
    *("home", "end", "pageup", "pagedown", *(f"f{number}" for number in range(1, 13))),
    *(f"ctrl+{letter}" for letter in "acdsvxzf"),
)
"""What ``action["key"]`` counts: names joined by + are one chord."""
MAX_SCROLL = 10
MAX_TYPED = 256
WAIT_S = 0.1
"""How long a ``wait`` lasts."""
TYPED = string.ascii_letters + string.digits + string.punctuation + " \n\t"
MAX_SHOWN = 32_768
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
SHOWN = "\n" + UNKNOWN + "".join(chr(code) for code in range(0x3000) if chr(code).isprintable())
"""Characters of ``cli_stdout``; any other is shown as UNKNOWN, and in ``info["cli_stdout"]`` as it is."""
TRUNCATING = ("max_steps", "timeout")
"""Values of ``info["reason"]`` that end an episode from outside."""

Pixels = npt.NDArray[np.uint8]


class GymnasiumEnv(gymnasium.Env[Any, Any]):
    """Drives an environment, local or remote, by Gymnasium's rules.

    An observation is the screen, (height, width, 3) uint8 RGB, and with ``text`` a dict of ``screen`` and
    ``cli_stdout``. An action is a dict: ``kind`` counts KINDS, and of the others each kind reads its own: ``point``
    (x, y) in pixels, ``target`` of a drag, ``scroll`` (positive is down), ``text`` to type, ``key`` of KEYS.
    ``done`` ends the episode, which is then judged. A list of actions in the environment's own form is taken too.

    Args:
        env: What to drive; closed with this.
        resolution: width, height in pixels; None takes the spec's, where it is known on this machine.
        text: Whether the terminal's text is observed; None asks the spec likewise.
        render_mode: ``rgb_array`` or None.

    Raises:
        RequestInvalid: The spec is not known here, and ``resolution`` is not given.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}  # type: ignore[misc]

    def __init__(
        self,
        env: GymEnv,
        *,
        resolution: tuple[int, int] | None = None,
        text: bool | None = None,
        render_mode: str | None = None,
    ) -> None:
        spec: EnvSpec | None = getattr(env, "env_spec", None)
        size = resolution or (spec.resolution if spec else None)
        if size is None:
            raise RequestInvalid("the environment's spec is not known here: give resolution=(width, height)")
        self.env = env
        self.render_mode = render_mode
        self._text = bool(spec and "cli_stdout" in spec.observation_types) if text is None else text
        width, height = size
        self._blank: Pixels = np.zeros((height, width, 3), np.uint8)
        self._screen = self._blank
        self._known = frozenset(SHOWN)
        box = spaces.Box(0, 255, (height, width, 3), np.uint8)
        shown = spaces.Text(MAX_SHOWN, min_length=0, charset=SHOWN)
        self.observation_space = spaces.Dict({"screen": box, "cli_stdout": shown}) if self._text else box
        self.action_space = action_space(width, height)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; ``options`` are further keywords of GymEnv.reset."""
        super().reset(seed=seed)
        info: dict[str, Any] = {}
        return self._seen(self.env.reset(seed=seed, **(options or {})), info), info

    def step(
        self, action: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Do one action of the action space, or a list of the environment's own.

        An environment that was lost and opened anew (``on_lost="recreate"``) truncates its episode: the observation is
        the new one's first, and ``info["recreated"]`` says that it does not follow from the action.
        """
        ends = isinstance(action, Mapping) and KINDS[int(action["kind"])] == "done"
        actions = native_actions(action) if isinstance(action, Mapping) else action
        observation, reward, done, info = self.env.step(actions, mark_done=ends)
        truncated = bool(info.get("recreated")) or (done and info.get("reason") in TRUNCATING)
        return self._seen(observation, info), float(reward), done and not truncated, truncated, info

    def render(self) -> Pixels | None:
        """Return the last screen, (height, width, 3) uint8 RGB, in the mode ``rgb_array``."""
        return self._screen if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """End the environment."""
        self.env.close()

    def _seen(self, observation: Mapping[str, Any], info: dict[str, Any]) -> Any:
        self._screen = self._pixels(observation)
        if not self._text:
            return self._screen
        whole = str((observation.get("cli_stdout") or {}).get("text") or "")
        info["cli_stdout"] = whole
        text = "".join(each if each in self._known else UNKNOWN for each in whole[-MAX_SHOWN:])
        return {"screen": self._screen, "cli_stdout": text}

    def _pixels(self, observation: Mapping[str, Any]) -> Pixels:
        screen = observation.get("screen")
        if not isinstance(screen, Screen):
            return self._blank.copy()  # whoever gets it may change it
        pixels = screen.image()
        if pixels.shape != self._blank.shape:
            height, width, _ = pixels.shape
            raise BadReply(
                f"the screen has {width} x {height} pixels, not those of the observation space: give resolution=({width}, {height})"
            )
        return pixels


def action_space(width: int, height: int) -> spaces.Dict:
    """Return the space of GymnasiumEnv's actions on a screen of so many pixels."""
    return spaces.Dict(
        {
            "kind": spaces.Discrete(len(KINDS)),
            "point": spaces.MultiDiscrete([width, height]),
            "target": spaces.MultiDiscrete([width, height]),
            "scroll": spaces.Discrete(2 * MAX_SCROLL + 1, start=-MAX_SCROLL),
            "text": spaces.Text(MAX_TYPED, min_length=0, charset=TYPED),
            "key": spaces.Discrete(len(KEYS)),
        }
    )


def native_actions(action: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an action of the action space in the environment's own form."""
    kind = KINDS[int(action["kind"])]
    point, target = ([int(pixel) for pixel in action[name]] for name in ("point", "target"))
    match kind:
        case "done":
            return []
        case "wait":
            return [{"action": "wait", "time": WAIT_S}]
        case "text":
            return [{"keyboard": {"text": str(action["text"])}}]
        case "key":
            return [{"keyboard": {"keys": KEYS[int(action["key"])].split("+")}}]
        case "scroll":
            return [{"mouse": {"move": point, "scroll": int(action["scroll"])}}]
        case "left_click_drag" | "right_click_drag":
            return [{"mouse": {kind: [point, target]}}]
        case _:
            return [{"mouse": {kind: point}}]
