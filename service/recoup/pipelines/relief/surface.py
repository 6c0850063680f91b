"""The height field: brightness, smoothed where it is only texture, becomes the surface of the relief."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Grid = npt.NDArray[np.float64]

#: The largest window of the filter: its radius as a part of the longer side.
_LARGEST_RADIUS = 1 / 40
#: The contrast (of 1) up to which full smoothing takes differences for texture.
_LARGEST_TEXTURE = 0.25
#: Of all samples, this share at either end may be cut off, so that a few specks do not flatten the rest.
_CUT_OFF = 0.002
#: Differences in brightness below this are no picture: half a step of eight bits.
_FLAT = 0.5 / 255


def heights(brightness: Grid, smoothing: float, invert: bool) -> Grid:
    """The surface, from 0 (lowest) to 1 (highest); all 0 when the image has no contrast.

    Args:
        brightness: From 0 to 1.
        smoothing: From 0 to 1.
        invert: Dark is high.
    """
    if np.ptp(brightness) < _FLAT:
        return np.zeros_like(brightness)
    surface = _stretch(guided_filter(_stretch(brightness), *_strength(brightness.shape, smoothing)))
    return 1.0 - surface if invert else surface


def _strength(shape: tuple[int, ...], smoothing: float) -> tuple[int, float]:
    """Radius in samples and the filter's epsilon: a variance."""
    return round(max(shape) * _LARGEST_RADIUS * smoothing), (_LARGEST_TEXTURE * smoothing) ** 2


def _stretch(grid: Grid) -> Grid:
    """The same, from exactly 0 to exactly 1."""
    low, high = np.quantile(grid, (_CUT_OFF, 1.0 - _CUT_OFF))
    if high <= low:  # nearly all of it is one brightness
        low, high = grid.min(), grid.max()
    if high <= low:
        return np.zeros_like(grid)
    stretched: Grid = np.clip((grid - low) / (high - low), 0.0, 1.0)
    return stretched


def guided_filter(image: Grid, radius: int, epsilon: float) -> Grid:
    """Smooth an image that guides itself: flat where its variance is far below `epsilon`, as it is where far above.

    He, Sun, Tang: Guided Image Filtering, ECCV 2010; the time does not depend on the radius.
    """
    if radius < 1:
        return image
    mean = _box_mean(image, radius)
    variance = np.maximum(_box_mean(image * image, radius) - mean * mean, 0.0)
    slope = variance / (variance + epsilon)
    offset = mean - slope * mean
    return _box_mean(slope, radius) * image + _box_mean(offset, radius)


def _box_mean(grid: Grid, radius: int) -> Grid:
    """The mean over windows of 2 * radius + 1 samples each way, the border repeated outside."""
    for axis in (0, 1):
        grid = np.moveaxis(grid, axis, 0)
        padded = np.pad(grid, [(radius + 1, radius), (0, 0)], mode="edge")
        sums = np.cumsum(padded, axis=0)
        width = 2 * radius + 1
        grid = np.moveaxis((sums[width:] - sums[:-width]) / width, 0, axis)
    return grid
