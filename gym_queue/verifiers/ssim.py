"""The structural similarity of two images.

Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: "Image Quality Assessment: From Error Visibility to Structural
Similarity", IEEE Transactions on Image Processing 13(4), 2004, https://doi.org/10.1109/TIP.2003.819861: equations 13
to 17 with the constants of its section III.C. Of an image in colour each channel counts alike, as in scikit-image,
so that what differs in its colour alone does differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WINDOW_PX = 11
"""Side of the Gaussian window."""
SIGMA_PX = 1.5
K1, K2 = 0.01, 0.03
RANGE = 255.0
"""From the smallest value of a pixel to the largest."""
BAND_PX = 128
"""Rows looked at together: what one takes fits the processor's cache."""

Floats = NDArray[np.float64]


def structural_similarity(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return the mean SSIM over every window that lies wholly inside the image, from -1 to 1; 1 for equal images.

    Args:
        first: (height, width, channels) uint8, WINDOW_PX or more high and wide.
        second: An image of the same shape.
    """
    if np.array_equal(first, second):
        return 1.0
    height, width, channels = first.shape
    rows = height - WINDOW_PX + 1
    weights, total = _window(), 0.0
    for top in range(0, rows, BAND_PX):
        band = slice(top, min(top + BAND_PX, rows) + WINDOW_PX - 1)
        for channel in range(channels):
            x, y = (image[band, :, channel].astype(np.float64) for image in (first, second))
            total += float(_similarity(x, y, weights).sum())
    windows: int = rows * (width - WINDOW_PX + 1) * channels
    return total / windows


def _window() -> Floats:
    offsets = np.arange(WINDOW_PX) - WINDOW_PX // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA_PX**2))
    return np.asarray(weights / weights.sum(), np.float64)


def _similarity(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return the SSIM of each window of one channel (equation 13)."""
    c1, c2 = (K1 * RANGE) ** 2, (K2 * RANGE) ** 2
    mean_x, mean_y = _blur(x, weights), _blur(y, weights)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = _blur(x * y, weights) - product
    variances = _blur(x * x + y * y, weights) - squares
    similarity: Floats = ((2 * product + c1) * (2 * covariance + c2)) / ((squares + c1) * (variances + c2))
    return similarity


def _blur(values: Floats, weights: Floats) -> Floats:
    """Return the weighted means of all windows inside: the window is the product of a column and a row."""
    height, width = (side - WINDOW_PX + 1 for side in values.shape)
    columns = sum(weight * values[i : i + height] for i, weight in enumerate(weights))
    rows: Floats = sum(weight * columns[:, i : i + width] for i, weight in enumerate(weights))
    return rows
