"""A picture cropped to one of its parts."""

import io

from desktop_checks import FILES, read_bytes, verdict
from PIL import Image, ImageChops

STAMP = (280, 140, 520, 320)
SLACK_PX = 2


def opened(content):
    try:
        return Image.open(io.BytesIO(content or b"")).convert("RGB")
    except OSError:
        return None


def is_part(picture, card):
    """Whether the picture is a part of the card that begins and ends where the stamp does."""
    if any(abs(size - wanted) > 2 * SLACK_PX for size, wanted in zip(picture.size, (240, 180), strict=True)):
        return False
    shifts = range(-SLACK_PX, SLACK_PX + 1)
    places = ((STAMP[0] + dx, STAMP[1] + dy) for dx in shifts for dy in shifts)
    return any(is_at(picture, card, left, top) for left, top in places)


def is_at(picture, card, left, top):
    right, bottom = left + picture.width, top + picture.height
    if abs(right - STAMP[2]) > SLACK_PX or abs(bottom - STAMP[3]) > SLACK_PX:
        return False
    return ImageChops.difference(picture, card.crop((left, top, right, bottom))).getbbox() is None


def verify(traj, env_info, task_info):
    card = Image.open(FILES / "card.png").convert("RGB")
    picture = opened(read_bytes(env_info, "Pictures/card.png"))
    return verdict(
        {"card.png shows the stamp and nothing else": picture is not None and is_part(picture, card)}
    )
