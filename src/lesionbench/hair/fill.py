"""Fill thin gaps in an image with the smoothest surface that fits their surroundings."""

import cv2
import numpy as np

from lesionbench.hair.compiled import compiled

# Pixels (down, right) from a pixel to its neighbours in its equation; each stands for four, by quarter turns. Below are
# the rings' weights in the discrete Laplacian, and in minus its square.
RINGS = (0, 1), (1, 1), (0, 2)
MEMBRANE, PLATE = np.array([1], np.float32), np.array([8, -2, -1], np.float32)
REACH = 2  # Pixels to the farthest ring.
MEMBRANE_STEPS, PLATE_STEPS = 6, 5  # Steps of the conjugate gradients.
LEVELS = 3  # Levels of coarser and coarser pixels, from a quarter of the size on.
BESIDE = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
TRUST = 16.0  # A coarse pixel counts in full if at least 1 / TRUST of it is known.


def fill(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Replace the pixels of `rgb` under `mask` by a thin plate through the others.

    The surface whose bi-Laplacian vanishes continues the slope of both sides (biharmonic inpainting: Damelin and Hoang,
    arXiv:1707.06567). Conjugate gradients approach this surface in a fixed number of steps. They start from averages of
    coarser and coarser pixels, and first solve the membrane (Laplacian 0), which fills wide gaps in fewer steps.
    Time and memory grow with the mask.

    Args:
        rgb: uint8 RGB, (H, W, 3).
        mask: bool, (H, W); if all pixels are masked, the image is returned unchanged.

    Returns:
        uint8 RGB, (H, W, 3).
    """
    if not mask.any() or mask.all():
        return rgb.copy()
    at = np.flatnonzero(mask).astype(np.uint32)
    known = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
    known.view(np.uint32).ravel()[at] = 0
    start = cv2.resize(_averages(known), mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    value = np.zeros((len(at) + 1, 3), np.float32)  # the last row stays 0 and stands for every known neighbour
    value[:-1] = start.reshape(-1, 3).take(at, axis=0)
    neighbours, sums = _equations(rgb, mask, at)
    for weights, steps in ((MEMBRANE, MEMBRANE_STEPS), (PLATE, PLATE_STEPS)):
        _relax(value, neighbours, sums, weights, steps)
    filled = rgb.copy()
    filled.reshape(-1, 3)[at] = np.rint(value[:-1]).clip(0, 255)
    return filled


def fill_hair(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fill `mask` and one pixel beside it, because blur and JPEG spread a hair that far.

    Args:
        rgb: uint8 RGB, (H, W, 3).
        mask: bool, (H, W).

    Returns:
        uint8 RGB, (H, W, 3).
    """
    return fill(rgb, cv2.dilate(mask.astype(np.uint8), BESIDE).astype(bool))


def _averages(known: np.ndarray) -> np.ndarray:
    """Average the known pixels in and around each pixel of a quarter-size image; uint8 RGB.

    `known` is uint8 RGBA, multiplied by alpha.
    """
    half = cv2.resize(known, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    levels: list[np.ndarray] = [cv2.pyrDown(half.astype(np.float32))]
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
    return cv2.convertScaleAbs(whole[..., :3])


def _equations(rgb: np.ndarray, mask: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """List the neighbours of the n unknown pixels, whose positions in the flat image are `at`.

    Returns:
        Which unknown pixels the neighbours are, uint32 (n, 12), ring after ring; n for a known one.
        The sums of each ring's known pixels, float32 (3, n, 3).
    """
    number: np.ndarray = np.full(mask.shape, len(at), np.int32)
    number.ravel()[at] = np.arange(len(at), dtype=np.int32)
    # Unknown pixels are mirrored at the rim too, which keeps the equations symmetric.
    number = cv2.copyMakeBorder(number, REACH, REACH, REACH, REACH, cv2.BORDER_REFLECT)
    rgb = cv2.copyMakeBorder(rgb, REACH, REACH, REACH, REACH, cv2.BORDER_REFLECT)
    places = (at // mask.shape[1]) * number.shape[1] + at % mask.shape[1]
    turns = np.array([[(down, right), (right, -down), (-down, -right), (-right, down)] for down, right in RINGS])
    steps = (turns[..., 0] + REACH) * number.shape[1] + turns[..., 1] + REACH
    neighbours = np.empty((len(at), steps.shape[0] * steps.shape[1]), np.uint32)
    sums = np.empty((len(RINGS), len(at), 3), np.float32)
    flat = rgb.reshape(-1, 3), number.view(np.uint32).ravel()
    _look_around(*flat, places, steps.astype(np.uint32), neighbours, sums)
    return neighbours, sums


# Numba compiles loops over arrays in a fraction of a second; NumPy's functions inside them would take ten seconds.
@compiled
def _look_around(
    rgb: np.ndarray, number: np.ndarray, places: np.ndarray, steps: np.ndarray, neighbours: np.ndarray, sums: np.ndarray
) -> None:
    """Write the result of _equations to `neighbours` and `sums`.

    `rgb` and `number` are flat images; `steps` (3, 4) are offsets from each of `places` (n,).
    """
    for n in range(len(places)):
        for ring in range(len(steps)):
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for turn in range(4):
                there = places[n] + steps[ring, turn]
                neighbours[n, 4 * ring + turn] = number[there]
                if number[there] == len(places):
                    red += rgb[there, 0]
                    green += rgb[there, 1]
                    blue += rgb[there, 2]
            sums[ring, n, 0], sums[ring, n, 1], sums[ring, n, 2] = red, green, blue


@compiled
def _apply(value: np.ndarray, neighbours: np.ndarray, weights: np.ndarray, together: float, out: np.ndarray) -> None:
    """Multiply each unknown pixel by `together`, subtract its weighted unknown neighbours; float32 (n, 3) to `out`."""
    for n in range(len(out)):
        # The colours are written out, not looped over, so that the compiler keeps them in registers.
        red, green, blue = together * value[n, 0], together * value[n, 1], together * value[n, 2]
        for ring in range(len(weights)):
            r, g, b = np.float32(0), np.float32(0), np.float32(0)
            for turn in range(4):
                there = neighbours[n, 4 * ring + turn]
                r += value[there, 0]
                g += value[there, 1]
                b += value[there, 2]
            red -= weights[ring] * r
            green -= weights[ring] * g
            blue -= weights[ring] * b
        out[n, 0], out[n, 1], out[n, 2] = red, green, blue


@compiled
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    """Scalar product of float32 (n, 3), summed in float64; the same to the last bit on any machine."""
    red = green = blue = 0.0
    for n in range(len(a)):
        red += a[n, 0] * b[n, 0]
        green += a[n, 1] * b[n, 1]
        blue += a[n, 2] * b[n, 2]
    return red + green + blue


@compiled
def _add(a: np.ndarray, b: np.ndarray, factor: float, out: np.ndarray) -> None:
    """out = a + factor * b, float32 (n, 3)."""
    by = np.float32(factor)
    for n in range(len(out)):
        for c in range(3):
            out[n, c] = a[n, c] + by * b[n, c]


def _relax(value: np.ndarray, neighbours: np.ndarray, sums: np.ndarray, weights: np.ndarray, steps: int) -> None:
    """Solve _apply(`value`) = weighted `sums` by conjugate gradients, in place; `value` is float32 (n + 1, 3)."""
    together = float(4 * weights.sum())
    every, change = np.zeros_like(value), np.empty((len(neighbours), 3), np.float32)
    unknown, direction = value[:-1], every[:-1]
    _apply(value, neighbours, weights, together, change)
    residual = -change
    for ring, weight in enumerate(weights):
        _add(residual, sums[ring], float(weight), residual)
    direction[:] = residual
    size = _dot(residual, residual)
    for _ in range(steps):
        _apply(every, neighbours, weights, together, change)
        step = size / max(_dot(direction, change), 1e-6)
        _add(unknown, direction, step, unknown)
        _add(residual, change, -step, residual)
        before, size = size, _dot(residual, residual)
        _add(residual, direction, size / max(before, 1e-6), direction)
