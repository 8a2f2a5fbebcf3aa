"""Find hair in dermatoscopic images and fill it, with a cache by content."""

import functools
import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numba import njit

from lesionbench import inpaint
from lesionbench.files import atomic, write_bytes
from lesionbench.images import encode, read_rgb

VERSION = 5  # part of the cache key: raise it when find_hair or inpaint.fill give other pixels
REFERENCE_WIDTH = 600
SEARCHED_WIDTH = 300  # lines are sought at this width
DIRECTIONS, FINER = 24, 2  # a line is followed in half pixels: it has no gaps at its corners
STRAIGHT = 0.3  # share of the contrast beside it that a line must have: one that cuts the bends of a network has less
RIVAL = 0.5  # share of a darker line's contrast that a lighter one beside it must have, and the other way round
BACKGROUND_WIDTH, BACKGROUND = 120, 7  # a median over so many pixels, at this width
NEAR, BESIDE = (cv2.getStructuringElement(shape, (3, 3)) for shape in (cv2.MORPH_RECT, cv2.MORPH_CROSS))
COVERAGE = struct.Struct("<d")  # at the head of a cache entry; the JPEG follows
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def find_hair(rgb: np.ndarray, kernel: int, threshold: int, min_length: int, edge: float) -> np.ndarray:
    """Mask of hairs, darker or lighter than the skin: a top-hat each way, of which only straight lines are kept.

    Args:
        rgb: uint8, (H, W, 3).
        kernel: side of the square of the black-hat and the white top-hat, pixels at 600 wide (DullRazor, Lee et al.
            1997, doi:10.1016/S0010-4825(97)00020-6, has the idea of closing what is narrower).
        threshold: grey levels (0 to 255) by which a line is darker or lighter than what surrounds it, and than the
            median of its neighbourhood: the skin between two dark hairs is no light hair.
        min_length: pixels at 600 wide that a hair runs straight, in any of DIRECTIONS; the meshes of a pigment network
            are shorter.
        edge: share of its line's contrast that a pixel at a hair's side must have to belong to it, 0 to 1.

    Returns:
        bool, (H, W).
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
    """The size (width, height) of an image of this shape at another width."""
    return width, max(1, round(grey.shape[0] * width / grey.shape[1]))


def _shrink(hat: np.ndarray) -> np.ndarray:
    """The hat at SEARCHED_WIDTH: averages, but of what is thinner than a pixel there the highest, as it would pale."""
    factor = max(1, round(hat.shape[1] / SEARCHED_WIDTH))
    thin = cv2.morphologyEx(hat, cv2.MORPH_TOPHAT, np.ones((factor + 1, factor + 1), np.uint8))
    thin = cv2.dilate(thin, np.ones((factor, factor), np.uint8))
    size = _at(hat, SEARCHED_WIDTH)
    averages = cv2.resize(hat, size, interpolation=cv2.INTER_AREA)
    return cv2.max(averages, cv2.resize(thin, size, interpolation=cv2.INTER_NEAREST))


@functools.cache
def _directions(length: int) -> np.ndarray:
    """The pixels that straight lines in DIRECTIONS directions run through, (down, right) from their first; int32,
    (DIRECTIONS, n, 2). Where a line has fewer than n, its last stands again.
    """
    angle = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    along = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    points = np.rint(np.arange(0, length - 0.5, 1 / FINER)[:, None] * along[:, None]).astype(np.int32)
    lines = [line[np.diff(line, axis=0, append=1 << 20).any(axis=1)] for line in points]
    longest = max(len(line) for line in lines)
    return np.stack([np.pad(line, ((0, longest - len(line)), (0, 0)), mode="edge") for line in lines])


def _lines(image: np.ndarray, directions: np.ndarray, threshold: int) -> np.ndarray:
    """The highest level at which a straight line runs through a pixel: the highest of the openings with each of the
    directions' lines; 0 where it is below `threshold`. uint8, (H, W), like `image`.
    """
    length = int(directions[0, -1, 1]) + 1
    high = cv2.threshold(image, threshold - 1, 0, cv2.THRESH_TOZERO)[1]
    # Repeated at the rim for half a line, so that the end of a hair that leaves the image is a line too.
    half = length // 2
    high = cv2.copyMakeBorder(high, half, half, half, half, cv2.BORDER_REPLICATE)
    high = cv2.copyMakeBorder(high, length, length, length, length, cv2.BORDER_CONSTANT)
    best = np.zeros_like(high)
    steps = directions[:, :, 0] * high.shape[1] + directions[:, :, 1]
    _follow(high.ravel(), np.flatnonzero(high), steps, best.ravel())
    inner = slice(length + half, -length - half)
    return best[inner, inner]


@njit(nogil=True, cache=True)
def _follow(image: np.ndarray, starts: np.ndarray, steps: np.ndarray, best: np.ndarray) -> None:
    """Of flat images: into `best` the highest of the lines through a pixel, each `steps` on from one of `starts`.

    Few pixels reach the threshold, and fewer are the first of a line whose middle and last ones do.
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


def fill_hair(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fill `mask` (bool, (H, W)) and one pixel beside it, as far as blur and JPEG carry a hair; uint8, (H, W, 3)."""
    return inpaint.fill(rgb, cv2.dilate(mask.astype(np.uint8), BESIDE).astype(bool))


def hair_mask(rgb: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """Hair mask, bool (H, W), by the keys of params.yaml's section hair; empty for method none."""
    if params["method"] == "none":
        return np.zeros(rgb.shape[:2], bool)
    return find_hair(rgb, **{name: value for name, value in params.items() if name != "method"})


def remove_hair_from_file(path: Path, content: str, params: Mapping[str, Any], stored: Path, folder: Path) -> float:
    """Write the image without its hair to `folder`, as JPEG of quality 95 at 4:4:4; nothing if it has none.

    Args:
        path: the image; its stem names the file that is written.
        content: SHA-256 of the image's file, for the cache key.
        params: section hair.
        stored: folder of results of earlier runs; used and filled.

    Returns:
        Share of the pixels that are hair, 0 to 1.
    """
    what = [content, dict(params), VERSION, cv2.__version__]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    entry = stored / key[:2] / key
    if entry.exists():
        found = entry.read_bytes()
        (coverage,), jpeg = COVERAGE.unpack_from(found), found[COVERAGE.size :]
    else:
        rgb = read_rgb(path)
        mask = hair_mask(rgb, params)
        coverage = float(mask.mean())
        jpeg = encode(".jpg", fill_hair(rgb, mask), JPEG) if coverage else b""
        with atomic(entry, shared=True) as partial:
            partial.write_bytes(COVERAGE.pack(coverage) + jpeg)
    if coverage:
        write_bytes(folder / f"{path.stem}.jpg", jpeg)
    return coverage


def detection_scores(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Precision, recall and Dice over all pixels of (found, true) pairs of bool masks, each 0 to 1."""
    hit = found = true = 0
    for each, truth in pairs:
        hit += int((each & truth).sum())
        found += int(each.sum())
        true += int(truth.sum())
    return {
        "precision": round(hit / max(1, found), 6),
        "recall": round(hit / max(1, true), 6),
        "dice": round(2 * hit / max(1, found + true), 6),
    }
