"""Fill thin gaps in an image with the smoothest surface that fits their surroundings."""

from typing import Any

import cv2
import numpy as np

# What a pixel's neighbours weigh in its equation: the discrete Laplacian, and minus its square, without the middle.
MEMBRANE = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32)
PLATE = np.array(
    [[0, 0, -1, 0, 0], [0, -2, 8, -2, 0], [-1, 8, 0, 8, -1], [0, -2, 8, -2, 0], [0, 0, -1, 0, 0]], np.float32
)
MEMBRANE_STEPS, PLATE_STEPS = 6, 4
REACH = 2  # of the plate's neighbours
LEVELS = 4  # of coarser and coarser pixels
TRUST = 16.0  # a coarse pixel counts in full from this share of it on, inverted, that is known


def fill(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Replace the pixels under `mask` (bool, (H, W)) by a thin plate through the others; uint8 RGB, (H, W, 3).

    The surface whose bi-Laplacian vanishes goes on with the slope of both sides (biharmonic inpainting: Damelin and
    Hoang, arXiv:1707.06567). It is approached by conjugate gradients in a fixed number of steps, from averages of
    coarser and coarser pixels, by way of the membrane (Laplacian 0), which wide gaps reach sooner. Time and memory
    grow with the mask. With no pixel left to go by, the image is returned as it is.
    """
    if not mask.any() or mask.all():
        return rgb.copy()
    known = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
    at = np.flatnonzero(mask).astype(np.int32)
    known.view(np.uint32).ravel()[at] = 0
    coarse = _averages(cv2.resize(known, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    rows, columns = np.divmod(at, np.int32(mask.shape[1]))
    high, wide = coarse.shape[:2]
    nearest = np.minimum(rows // 2, high - 1) * wide + np.minimum(columns // 2, wide - 1)
    value = np.zeros((len(at) + 1, 4), np.float32)  # the last row stays 0: it stands for every known neighbour
    value[:-1] = coarse.reshape(-1, 4).take(nearest, axis=0)
    number: np.ndarray = np.full(mask.shape, len(at), np.int32)
    number.ravel()[at] = np.arange(len(at), dtype=np.int32)
    # Mirrored at the rim, unknown pixels too, which keeps the equations symmetric.
    number = cv2.copyMakeBorder(number, REACH, REACH, REACH, REACH, cv2.BORDER_REFLECT)
    pixels = cv2.copyMakeBorder(known, REACH, REACH, REACH, REACH, cv2.BORDER_REFLECT).astype(np.float32)
    middle = (rows + REACH) * np.int32(number.shape[1]) + columns + REACH
    for weights, steps in ((MEMBRANE, MEMBRANE_STEPS), (PLATE, PLATE_STEPS)):
        _relax(value, pixels, number, middle, weights, steps)
    known.view(np.uint32).ravel()[at] = cv2.convertScaleAbs(np.maximum(value[:-1], 0)).view(np.uint32).ravel()
    return cv2.cvtColor(known, cv2.COLOR_RGBA2RGB)


def _averages(known: np.ndarray) -> np.ndarray:
    """Every pixel of `known`, RGBA times alpha, as the average of what is known around it; float32, 0 to 255."""
    levels: list[np.ndarray] = [known.astype(np.float32)]
    for _ in range(LEVELS - 1):
        levels.append(cv2.pyrDown(levels[-1]))
    whole: np.ndarray | None = None
    for level in levels[::-1]:
        share = level[..., 3:] / 255
        average = level / np.maximum(share, 1e-6)
        if whole is not None:
            whole = cv2.resize(whole, level.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            average = whole + (average - whole) * np.minimum(1, share * TRUST)
        whole = average
    assert whole is not None
    return whole


def _relax(
    value: np.ndarray, pixels: np.ndarray, number: np.ndarray, middle: np.ndarray, weights: np.ndarray, steps: int
) -> None:
    """Conjugate gradients on `value` in place: the weighted neighbours of each unknown pixel are to add up to it.

    Args:
        value: float32 (n + 1, 4), the unknown pixels, and a row of zeros.
        pixels: float32 (H, W, 4), the image, 0 where unknown.
        number: int32 (H, W), which row of `value` a pixel is; n where it is known.
        middle: int32 (n,), where in the image, row after row, the unknown pixels are.
        weights: float32 (k, k), k odd.
        steps: how many.
    """
    n, reach = len(middle), len(weights) // 2
    residual: np.ndarray = np.zeros((n, 4), np.float32)
    one, ring, change = (np.empty((n, 4), np.float32) for _ in range(3))
    neighbours: dict[Any, list[Any]] = {weight: [] for weight in {*weights[weights != 0]}}
    for (i, j), weight in np.ndenumerate(weights):
        if weight:
            place = middle + ((i - reach) * number.shape[1] + j - reach)
            neighbours[weight].append(number.ravel().take(place).astype(np.intp))
            pixels.reshape(-1, 4).take(place, axis=0, out=one, mode="clip")
            residual += np.multiply(one, weight, out=one)
    centre = weights.sum()

    def apply(v: np.ndarray) -> None:
        np.multiply(v[:-1], centre, out=change)
        for weight, (first, *others) in neighbours.items():
            v.take(first, axis=0, out=ring, mode="clip")
            for other in others:
                np.add(ring, v.take(other, axis=0, out=one, mode="clip"), out=ring)
            np.subtract(change, np.multiply(ring, weight, out=ring), out=change)

    apply(value)
    residual -= change
    direction = np.zeros_like(value)
    direction[:-1] = residual
    size = float(np.vdot(residual, residual))
    for _ in range(steps):
        apply(direction)
        step = np.float32(size / max(float(np.vdot(direction[:-1], change)), 1e-6))
        value[:-1] += np.multiply(direction[:-1], step, out=one)
        residual -= np.multiply(change, step, out=change)
        before, size = size, float(np.vdot(residual, residual))
        direction[:-1] *= np.float32(size / max(before, 1e-6))
        direction[:-1] += residual
