"""Hair found in dermatoscopic images."""

import functools

import cv2
import numpy as np

from lesionbench.hair.compiled import compiled

REFERENCE_WIDTH = 600  # Pixels. The width of HAM10000's images, for which lengths are given.
SEARCHED_WIDTH = 300  # Pixels. The width at which lines are searched.
DIRECTIONS, FINER = 24, 2  # Directions of lines; steps per pixel along a line, which leave no gap at its corners.
# Share of the contrast beside a line that the line must have. A line that cuts the bends of a network has less.
STRAIGHT = 0.3
RIVAL = 0.5  # Share of a dark line's contrast that a light line beside it must have, and the other way round.
BACKGROUND_WIDTH, BACKGROUND = 120, 7  # Pixels. Width at which the background is a median, and over what side.
NEAR = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))


def find_hair(rgb: np.ndarray, kernel: int, threshold: int, min_length: int, edge: float) -> np.ndarray:
    """Find hairs, darker or lighter than the skin: a top-hat each way, of which only straight lines are kept.

    The idea of closing what is narrower than a square is DullRazor's (Lee et al. 1997,
    doi:10.1016/S0010-4825(97)00020-6).

    Args:
        rgb: uint8 RGB, (H, W, 3).
        kernel: side of the square of the black-hat and the white top-hat, pixels at 600 wide.
        threshold: grey levels (0 to 255) by which a line is darker or lighter than what surrounds it. The same holds
            against the median of its neighbourhood: the skin between two dark hairs is no light hair.
        min_length: pixels at 600 wide that a hair runs straight, in any of DIRECTIONS. The meshes of a pigment network
            are shorter.
        edge: share, 0 to 1, of its line's contrast that a pixel at a hair's side must have to belong to the hair.

    Returns:
        The mask of hairs, bool, (H, W).

    Examples:
        >>> import numpy as np
        >>> skin = np.full((450, 600, 3), 200, np.uint8)
        >>> skin[:, 300:303] = 60  # a dark hair, three pixels wide
        >>> hair = find_hair(skin, kernel=11, threshold=12, min_length=41, edge=0.15)
        >>> np.flatnonzero(hair.any(axis=0))
        array([300, 301, 302])
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    side = _odd(kernel * width / REFERENCE_WIDTH)
    square = np.ones((side, side), np.uint8)
    hats = [cv2.morphologyEx(grey, how, square) for how in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT)]
    coarse = cv2.resize(grey, _at(grey, BACKGROUND_WIDTH), interpolation=cv2.INTER_AREA)
    skin = cv2.resize(cv2.medianBlur(coarse, BACKGROUND), (width, height), interpolation=cv2.INTER_LINEAR)
    searched = [
        _shrink(cv2.min(hat, difference))
        for hat, difference in zip(hats, (cv2.subtract(skin, grey), cv2.subtract(grey, skin)), strict=True)
    ]
    directions = _directions(max(1, round(min_length * SEARCHED_WIDTH / REFERENCE_WIDTH)))
    dark, light = (_lines(each, directions, threshold) for each in searched)
    near_dark, near_light = (cv2.dilate(each, np.ones((5, 5), np.uint8)) for each in (dark, light))
    mask = np.zeros(grey.shape, bool)
    for hat, small, line, other in zip(hats, searched, (dark, light), (near_light, near_dark), strict=True):
        beside = cv2.convertScaleAbs(cv2.dilate(small, NEAR), alpha=STRAIGHT)
        highest = cv2.max(beside, cv2.convertScaleAbs(other, alpha=RIVAL))
        line[line < highest] = 0
        if not line.any():
            continue
        contrast = cv2.resize(cv2.dilate(line, NEAR), (width, height), interpolation=cv2.INTER_NEAREST)
        mask |= (contrast > 0) & (hat >= cv2.convertScaleAbs(contrast, alpha=edge))
    return mask


def _odd(pixels: float) -> int:
    return max(3, round(pixels) // 2 * 2 + 1)


def _at(grey: np.ndarray, width: int) -> tuple[int, int]:
    """Return the size (width, height) of an image of this shape at another width."""
    return width, max(1, round(grey.shape[0] * width / grey.shape[1]))


def _shrink(hat: np.ndarray) -> np.ndarray:
    """Shrink a hat to SEARCHED_WIDTH by averages.

    What is thinner than a pixel there would become pale, and takes its highest level instead.
    """
    factor = max(1, round(hat.shape[1] / SEARCHED_WIDTH))
    thin = cv2.morphologyEx(hat, cv2.MORPH_TOPHAT, np.ones((factor + 1, factor + 1), np.uint8))
    thin = cv2.dilate(thin, np.ones((factor, factor), np.uint8))
    size = _at(hat, SEARCHED_WIDTH)
    averages = cv2.resize(hat, size, interpolation=cv2.INTER_AREA)
    return cv2.max(averages, cv2.resize(thin, size, interpolation=cv2.INTER_NEAREST))


@functools.cache
def _directions(length: int) -> np.ndarray:
    """List the pixels that straight lines of `length` pixels run through, in DIRECTIONS directions.

    Returns:
        int32, (DIRECTIONS, n, 2): (down, right) from a line's first pixel. The last pixel is repeated where a line has
        fewer than n.
    """
    angle = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    along = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    points = np.rint(np.arange(0, length - 0.5, 1 / FINER)[:, None] * along[:, None]).astype(np.int32)
    lines = [line[np.diff(line, axis=0, append=1 << 20).any(axis=1)] for line in points]
    longest = max(len(line) for line in lines)
    return np.stack([np.pad(line, ((0, longest - len(line)), (0, 0)), mode="edge") for line in lines])


def _lines(image: np.ndarray, directions: np.ndarray, threshold: int) -> np.ndarray:
    """Find the highest level at which a straight line runs through each pixel; 0 where this is below `threshold`.

    The level is the highest of the openings of `image`, uint8 (H, W), with each of the lines of `directions`.
    """
    length = int(directions[0, -1, 1]) + 1
    high = cv2.threshold(image, threshold - 1, 0, cv2.THRESH_TOZERO)[1]
    # The rim is repeated for half a line, so that the end of a hair that leaves the image is a line too.
    half = length // 2
    high = cv2.copyMakeBorder(high, half, half, half, half, cv2.BORDER_REPLICATE)
    high = cv2.copyMakeBorder(high, length, length, length, length, cv2.BORDER_CONSTANT)
    best = np.zeros_like(high)
    steps = directions[:, :, 0] * high.shape[1] + directions[:, :, 1]
    _follow(high.ravel(), np.flatnonzero(high), steps, best.ravel())
    inner = slice(length + half, -length - half)
    return best[inner, inner]


@compiled
def _follow(image: np.ndarray, starts: np.ndarray, steps: np.ndarray, best: np.ndarray) -> None:
    """Write to `best` the highest level of the lines through each pixel; `image` and `best` are flat.

    Each line consists of `steps` from one of `starts`. Few pixels reach the threshold, and even fewer start a line
    whose middle and last pixels reach it. A check of these two pixels therefore saves most of the work.
    """
    last, middle = steps.shape[1] - 1, steps.shape[1] // 2
    for first in starts:
        for line in range(len(steps)):
            if image[first + steps[line, last]] and image[first + steps[line, middle]]:
                lowest = image[first]
                for i in range(len(steps[line])):
                    lowest = min(lowest, image[first + steps[line, i]])
                    if not lowest:
                        break
                else:
                    for i in range(len(steps[line])):
                        there = first + steps[line, i]
                        best[there] = max(best[there], lowest)
