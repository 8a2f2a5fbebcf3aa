"""Find hair in dermatoscopic images and fill it, with a cache by content."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lesionbench import inpaint
from lesionbench.files import atomic, write_bytes
from lesionbench.images import encode, read_rgb

VERSION = 4  # part of the cache key: raise it when find_hair or inpaint.fill give other pixels
REFERENCE_WIDTH = 600
SEARCHED_WIDTH = 300  # lines are sought at this width
DIRECTIONS = 24
STRAIGHT = 0.3  # share of the contrast beside it that a line must have: one that cuts the bends of a network has less
RIVAL = 0.5  # share of a darker line's contrast that a lighter one beside it must have, and the other way round
BACKGROUND_WIDTH, BACKGROUND = 150, 9  # a median over so many pixels, at this width
NEAR, BESIDE = (cv2.getStructuringElement(shape, (3, 3)) for shape in (cv2.MORPH_RECT, cv2.MORPH_CROSS))
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
    dark, light = _lines(np.stack(searched), round(min_length * SEARCHED_WIDTH / REFERENCE_WIDTH))
    near_dark, near_light = (cv2.dilate(each, np.ones((5, 5), np.uint8)) for each in (dark, light))
    mask = np.zeros(grey.shape, bool)
    for hat, small, line, other in zip(hats, searched, (dark, light), (near_light, near_dark), strict=True):
        beside = cv2.convertScaleAbs(cv2.dilate(small, NEAR), alpha=STRAIGHT)
        highest = cv2.max(beside, cv2.convertScaleAbs(other, alpha=RIVAL))
        line[(line < threshold) | (line < highest)] = 0
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


def _lines(images: np.ndarray, length: int) -> np.ndarray:
    """The highest level at which a straight line of `length` pixels runs through a pixel: the highest of the openings
    in DIRECTIONS directions; uint8, (n, H, W), like `images`.

    Images are one long row here, and a step in a direction is a shift: minimum and maximum over a line are a few whole-
    array operations on ever longer shifts.
    """
    height, width = images.shape[1:]
    # Repeated at the rim for half a line, so that the end of a hair that leaves the image is a line too.
    half = length // 2
    padded = np.pad(images, ((0, 0), (half, half), (half, half)), mode="edge")
    padded = np.pad(padded, ((0, 0), *[(length - half, length - half)] * 2))
    best = np.zeros(padded.size, np.uint8)
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        step = np.array([np.sin(angle), np.cos(angle)])
        eroded = _run(np.minimum, padded.ravel(), 0, step, length, padded.shape[2])
        opened, start = _run(np.maximum, *eroded, -step, length, padded.shape[2])
        there = best[start : start + len(opened)]
        np.maximum(there, opened, out=there)
    return best.reshape(padded.shape)[:, length : length + height, length : length + width]


def _run(
    extreme: Callable[..., np.ndarray], values: np.ndarray, start: int, step: np.ndarray, length: int, stride: int
) -> tuple[np.ndarray, int]:
    """The extreme of `length` values, each a `step` (rows, columns) further, and the position of the first result."""
    done = 1
    while done < length:
        more = min(done, length - done)
        rows, columns = np.rint(step * more).astype(int)
        shift = int(rows * stride + columns)
        first, last = (values[:-shift], values[shift:]) if shift > 0 else (values[-shift:], values[:shift])
        values, start, done = extreme(first, last), start + max(0, -shift), done + more
    return values, start


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
    cv2.setNumThreads(1)
    what = [content, dict(params), VERSION, cv2.__version__]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    entry = stored / key[:2] / f"{key}.npz"
    if entry.exists():
        with np.load(entry) as found:
            coverage, jpeg = float(found["coverage"]), found["jpeg"].tobytes()
    else:
        rgb = read_rgb(path)
        mask = hair_mask(rgb, params)
        coverage = float(mask.mean())
        jpeg = encode(".jpg", fill_hair(rgb, mask), JPEG) if coverage else b""
        with atomic(entry, shared=True) as partial:
            np.savez(partial, coverage=coverage, jpeg=np.frombuffer(jpeg, np.uint8))
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
