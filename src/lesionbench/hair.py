"""Find hair in dermatoscopic images and fill it, with a cache by content."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from lesionbench.files import atomic, write_bytes
from lesionbench.images import encode, read_rgb

VERSION = 2  # part of the cache key: raise it when find_hair or fill_hair give other pixels
REFERENCE_WIDTH = 600
DIRECTIONS = 24
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def find_hair(rgb: np.ndarray, kernel: int, threshold: int, min_length: int, min_elongation: float) -> np.ndarray:
    """Mask of dark hairs: a morphological black-hat, of which only long and thin structures are kept.

    Args:
        rgb: uint8, (H, W, 3).
        kernel: side of the black-hat's cross, pixels at 600 wide (DullRazor, Lee et al. 1997,
            doi:10.1016/S0010-4825(97)00020-6, in its usual OpenCV form).
        threshold: grey levels (0 to 255) that a hair is darker than its surroundings.
        min_length: pixels at 600 wide that a hair runs straight, in any of DIRECTIONS; the meshes of a pigment
            network are shorter.
        min_elongation: length over width that a structure must have. Width is twice the largest distance to its
            border and length its area over its width, so that bends do not count.

    Returns:
        bool, (H, W).
    """
    scale = rgb.shape[1] / REFERENCE_WIDTH
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (_odd(kernel * scale), _odd(kernel * scale)))
    black_hat = cv2.morphologyEx(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.MORPH_BLACKHAT, cross)
    dark = (black_hat >= threshold).astype(np.uint8)
    straight: np.ndarray = np.zeros_like(dark)
    for line in _lines(_odd(min_length * scale)):
        straight = cv2.max(straight, cv2.morphologyEx(dark, cv2.MORPH_OPEN, line))
    labels, n = ndimage.label(straight, structure=np.ones((3, 3)))
    if n == 0:
        return straight.astype(bool)
    reach = cv2.distanceTransform(straight, cv2.DIST_L2, 3)
    width = np.maximum(1.0, 2 * ndimage.maximum(reach, labels, np.arange(1, n + 1)) - 1)
    length = np.bincount(labels.ravel(), minlength=n + 1)[1:] / width
    mask = np.concatenate([[False], length >= min_elongation * width])[labels]
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def _odd(pixels: float) -> int:
    return max(3, round(pixels) // 2 * 2 + 1)


@cache
def _lines(side: int) -> list[np.ndarray]:
    """Structuring elements (side, side): a line through the middle in each of DIRECTIONS directions."""
    middle, lines = side // 2, []
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        x, y = round(middle * np.cos(angle)), round(middle * np.sin(angle))
        element = np.zeros((side, side), np.uint8)
        lines.append(cv2.line(element, (middle - x, middle - y), (middle + x, middle + y), 1))
    return lines


def fill_hair(rgb: np.ndarray, mask: np.ndarray, radius: int) -> np.ndarray:
    """Fill `mask` (bool, (H, W)) from its surroundings by Navier-Stokes inpainting; uint8, (H, W, 3)."""
    return cv2.inpaint(rgb, mask.astype(np.uint8), radius, cv2.INPAINT_NS)


def hair_mask(rgb: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """Hair mask, bool (H, W), by the keys of params.yaml's section hair; empty for method none."""
    if params["method"] == "none":
        return np.zeros(rgb.shape[:2], bool)
    return find_hair(rgb, **{name: params[name] for name in ("kernel", "threshold", "min_length", "min_elongation")})


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
        jpeg = encode(".jpg", fill_hair(rgb, mask, params["inpaint_radius"]), JPEG) if coverage else b""
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
