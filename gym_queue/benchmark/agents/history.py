"""What of a conversation is sent again: all its text, and its last screenshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Block = dict[str, Any]
Message = dict[str, Any]

OLD_SCREEN = "(An older screenshot was here.)"


def trim_images(
    messages: list[Message], *, keep: int, is_image: Callable[[Block], bool], old: Block
) -> int | None:
    """Replace the oldest screenshots, in place, when there are more than may be kept.

    Half of what may be kept is let go at once, so that a prompt cache holds for several turns between two trims.

    Args:
        messages: The conversation, oldest first.
        keep: The most images that may remain; at least 1.
        is_image: Whether a block is an image.
        old: What takes the place of an image.

    Returns:
        Index of the first message that was changed; None when none was.
    """
    found = [(index, blocks, at) for index, blocks, at in _images(messages, is_image)]
    if len(found) <= keep:
        return None
    gone = found[: len(found) - max(1, keep - keep // 2)]
    for _, blocks, at in gone:
        blocks[at] = dict(old)
    return gone[0][0]


def _images(
    messages: list[Message], is_image: Callable[[Block], bool]
) -> Iterator[tuple[int, list[Block], int]]:
    for index, message in enumerate(messages):
        for blocks in _lists(message.get("content")):
            for at, block in enumerate(blocks):
                if is_image(block):
                    yield index, blocks, at


def _lists(content: Any) -> Iterator[list[Block]]:
    """Yield a message's blocks, and before a list of blocks the lists that its tool results hold."""
    if isinstance(content, list):
        for block in content:
            yield from _lists(block.get("content"))
        yield content
