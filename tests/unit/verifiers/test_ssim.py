"""The expected numbers are scikit-image 0.26's, of ``structural_similarity(gaussian_weights=True, sigma=1.5,
use_sample_covariance=False, data_range=255, channel_axis=-1)``, which follows the same paper."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gym_queue.verifiers.ssim import structural_similarity


def image() -> NDArray[np.uint8]:
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([x * 4 % 256, y * 5 % 256, (x * y) % 256], -1).astype(np.uint8)


def patched() -> NDArray[np.uint8]:
    changed = image()
    changed[10:30, 20:40] = 255
    return changed


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (patched(), 0.7192578088084459),
        (255 - image(), -0.4023901149543516),
        (np.roll(image(), 3, axis=1), 0.6371369130366586),
        (image() // 2, 0.6942944083041992),
        (image()[..., [1, 0, 2]], 0.537226724993761),
    ],
    ids=["patch", "inverted", "shifted", "darker", "red and green swapped"],
)
def test_it_agrees_with_scikit_image(other: NDArray[np.uint8], expected: float) -> None:
    assert structural_similarity(image(), other) == pytest.approx(expected, abs=1e-12)
    assert structural_similarity(other, image()) == pytest.approx(expected, abs=1e-12)


def test_equal_images_are_1_and_noise_is_near_0() -> None:
    random = np.random.default_rng(0)
    first, second = (random.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(2))
    assert structural_similarity(first, first.copy()) == 1.0
    assert abs(structural_similarity(first, second)) < 0.05


def test_flat_images_are_compared_by_their_means_alone() -> None:
    black, white = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 255, np.uint8)
    assert structural_similarity(black, white) == pytest.approx(6.5025 / (255**2 + 6.5025))


def test_a_tall_image_is_the_same_in_bands_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tall = np.concatenate([image()] * 7)
    other = np.roll(tall, 2, axis=0)
    banded = structural_similarity(tall, other)
    monkeypatch.setattr("gym_queue.verifiers.ssim.BAND_PX", 10_000)
    assert banded == pytest.approx(structural_similarity(tall, other), abs=1e-12)
