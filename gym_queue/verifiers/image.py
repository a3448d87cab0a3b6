"""Image verifiers: the screen at the end must look like a picture of the task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers.base import Verdict, VerifierRequest
from gym_queue.verifiers.ssim import WINDOW_PX, structural_similarity
from gym_queue.verifiers.taskfiles import episode_file, task_file
from gym_queue.verifiers.vlm.settings import first_problem

MAX_PIXELS = 8192 * 4320
FORMATS = ("PNG", "JPEG", "WEBP")


class ImageMatch(BaseModel):
    """The spec of ``image_match``."""

    model_config = ConfigDict(frozen=True)

    target: str = Field(min_length=1)
    """The picture to look like: a path below the task's folder, else the environment's."""
    observed: str = Field("final.png", min_length=1)
    """What is compared: a file of the episode's folder."""
    ssim_gt: float = Field(0.95, ge=-1, le=1, strict=True, allow_inf_nan=False)
    """The least structural similarity that passes, from -1 to 1."""

    @model_validator(mode="before")
    @classmethod
    def _metric(cls, value: object) -> object:
        """Take the threshold from where the format also has it: ``metric.ssim_gt``."""
        if isinstance(value, dict) and isinstance(value.get("metric"), dict):
            return {**value["metric"], **value}
        return value


def verify_image(request: VerifierRequest, spec: object) -> Verdict:
    """Compare a file of the episode with a picture of the task.

    Args:
        request: The episode.
        spec: ``{target, observed, ssim_gt}``.

    Raises:
        VerifierFailed: The spec is not valid, or there are no two pictures of one size to compare.
    """
    match = _parse(spec, request.task.id)
    target = _read(task_file(request, match.target, what="target"))
    observed = _read(episode_file(request, match.observed, what="observed image"))
    if target.shape != observed.shape:
        sizes = " and ".join(f"{each.shape[1]}x{each.shape[0]}" for each in (target, observed))
        raise VerifierFailed(
            f"the target {match.target} and {match.observed} of task {request.task.id} differ in size, {sizes}: take the target on the task's own screen"
        )
    if min(target.shape[:2]) < WINDOW_PX:
        raise VerifierFailed(
            f"the target {match.target} of task {request.task.id} is smaller than {WINDOW_PX}x{WINDOW_PX} pixels: use a larger one"
        )
    similarity = structural_similarity(target, observed)
    return Verdict(
        "image_match",
        passed=similarity >= match.ssim_gt,
        score=round(100 * max(0.0, similarity), 2),
        feedback=f"{match.observed} is like {match.target} with an SSIM of {similarity:.4f}, of {match.ssim_gt:g} asked",
        extras={"ssim": similarity},
    )


def _parse(spec: object, task: str) -> ImageMatch:
    try:
        return ImageMatch.model_validate(spec)
    except ValidationError as error:
        raise VerifierFailed(
            f"the image_match of task {task} is not valid: {first_problem(error)}"
        ) from error


def _read(path: Path) -> NDArray[np.uint8]:
    """Return a picture as (height, width, 3) uint8 RGB."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise VerifierFailed(
                    f"the image {path} has {image.width}x{image.height} pixels, more than {MAX_PIXELS}: use a smaller one"
                )
            return np.asarray(image.convert("RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise VerifierFailed(f"the image {path} cannot be read: {error}; replace it") from error
