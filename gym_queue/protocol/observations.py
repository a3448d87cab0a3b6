"""Observations on their way: inside they carry the PNG's bytes, in JSON a path or base64."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gym_queue.errors import BadReply

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MSGPACK_TYPE = "application/vnd.gym-queue+msgpack"
"""Media type of replies whose ``screen.png`` holds raw bytes."""

Pixels: TypeAlias = "npt.NDArray[np.uint8]"


def to_json(observation: Mapping[str, Any], *, inline: bool) -> dict[str, Any]:
    """Return the observation as JSON clients get it.

    Args:
        observation: As an episode made it, ``screen.png`` holding raw bytes.
        inline: Whether the spec asks for the screen as base64 beside its path.
    """
    if "screen" not in observation:
        return dict(observation)
    screen = dict(observation["screen"])
    png = screen.pop("png", None)
    screen["remote"] = True
    if inline and png is not None:
        screen["png_b64"] = base64.b64encode(png).decode("ascii")
    return {**observation, "screen": screen}


class Screen(dict[str, Any]):
    """The ``screen`` of an observation: the wire's keys, and the pixels.

    Args:
        fields: The wire's keys: path, resolution, and png (bytes) or png_b64 where sent.
        fetch: Called once, with ``path``, when only a path was sent and the pixels are asked for.
    """

    def __init__(self, fields: Mapping[str, Any], fetch: Callable[[str], bytes] | None = None) -> None:
        super().__init__({key: value for key, value in fields.items() if key != "png"})
        self._png: bytes | None = fields.get("png")
        self._fetch = fetch

    def png(self) -> bytes:
        """Return the screenshot as PNG bytes.

        Raises:
            BadReply: The server sent neither the image nor a path to fetch it from, or junk.
        """
        if self._png is None:
            self._png = self._load()
        return self._png

    def image(self) -> Pixels:
        """Return the pixels, (height, width, 3) uint8 RGB.

        Raises:
            BadReply: There is no image, or it is not one.
        """
        import numpy as np  # 20 MB that servers have no use for
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self.png())) as picture:
                return np.asarray(picture.convert("RGB"))
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            raise BadReply(f"the observation's screen is not an image: {error}") from error

    def save(self, path: str | Path) -> Path:
        """Write the PNG to ``path`` and return it."""
        target = Path(path)
        target.write_bytes(self.png())
        return target

    def _load(self) -> bytes:
        if "png_b64" in self:
            try:
                return base64.b64decode(self["png_b64"])
            except (TypeError, ValueError) as error:
                raise BadReply(f"the observation's screen is not base64: {error}") from error
        if self._fetch is None or not self.get("path"):
            raise BadReply(
                "the observation's screen came without an image and without a path to fetch it from"
            )
        return self._fetch(str(self["path"]))


def with_screen(
    observation: Mapping[str, Any], fetch: Callable[[str], bytes] | None = None
) -> dict[str, Any]:
    """Return the observation with its ``screen`` ready to use."""
    if not isinstance(observation.get("screen"), Mapping):
        return dict(observation)
    return {**observation, "screen": Screen(observation["screen"], fetch)}
