"""Measures of an image's quality: what camera and lamp add to the lesion, and a network could learn."""

from typing import Any

import cv2
import numpy as np
import pandas as pd

SIDE = 600  # Pixels. The longer side of HAM10000's images.
BLACK = 45  # Grey level (0 to 255). Darker pixels count as black.
CLIPPED = (5, 250)  # Grey levels (0 to 255). At or beyond them detail is lost.
# Decimals of each measure, few enough that another build of OpenCV or libjpeg writes the same numbers.
MEASURES = {
    "dark_corners": 4,
    "sharpness": 1,
    "brightness": 1,
    "clipped_dark": 4,
    "clipped_bright": 4,
    "lab_l": 1,
    "lab_a": 1,
    "lab_b": 1,
}
# flag → (measure, side of the limit on which the flag is set, limit). docs/datasheet.md tells how often each is right.
FLAGS = {
    "dark_corners": ("dark_corners", "above", 0.01),
    "blurred": ("sharpness", "below", 5.0),
    "underexposed": ("brightness", "below", 60.0),
    "overexposed": ("clipped_bright", "above", 0.001),
}
COLUMNS = (*MEASURES, "quality_flags")


def measure(rgb: np.ndarray) -> dict[str, Any]:
    """Measure the quality of `rgb`, uint8 RGB (H, W, 3) of any size; keys COLUMNS.

    - dark_corners: share of the image, 0 to 1, that is darker than BLACK and connected to one of its corners. This is
      the black rim of a round field of view, but a dark lesion that reaches a corner counts as well.
    - sharpness: variance of the Laplacian of the grey image (Pech-Pacheco et al. 2000,
      doi:10.1109/ICPR.2000.903548). The longer side is SIDE, so that images of all sizes compare.
      Hair and noise raise it.
    - brightness: 90th percentile of L* (CIE 1976 L*a*b*, D65; 0 to 100). Unlike the mean, this follows the skin and not
      the lesion's size.
    - clipped_dark, clipped_bright: share of pixels, 0 to 1, at or beyond the grey levels CLIPPED.
    - lab_l, lab_a, lab_b: mean colour in CIE L*a*b* (L* 0 to 100, a* and b* -128 to 127).
    - quality_flags: names of the FLAGS that are set, separated by spaces.

    All but sharpness are measured at half of SIDE.

    Examples:
        >>> import numpy as np
        >>> found = measure(np.full((450, 600, 3), 200, np.uint8))  # one grey
        >>> found["brightness"], found["sharpness"], found["quality_flags"]
        (80.8, 0.0, 'blurred')
    """
    large = _resize(rgb, SIDE)
    small = _resize(large, SIDE // 2)
    _, spread = cv2.meanStdDev(cv2.Laplacian(cv2.cvtColor(large, cv2.COLOR_RGB2GRAY), cv2.CV_16S))
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2Lab)  # in 8 bits: L* times 2.55, a* and b* plus 128
    mean = cv2.mean(lab)
    lightness = np.bincount(lab[..., 0].ravel(), minlength=256).cumsum()
    found = {
        "dark_corners": _dark_corners(grey),
        "sharpness": spread[0, 0] ** 2,
        "brightness": int(np.searchsorted(lightness, 0.9 * grey.size)) / 2.55,
        "clipped_dark": np.count_nonzero(grey <= CLIPPED[0]) / grey.size,
        "clipped_bright": np.count_nonzero(grey >= CLIPPED[1]) / grey.size,
        "lab_l": mean[0] / 2.55,
        "lab_a": mean[1] - 128,
        "lab_b": mean[2] - 128,
    }
    rounded = {name: round(float(found[name]), decimals) + 0.0 for name, decimals in MEASURES.items()}
    return {**rounded, "quality_flags": " ".join(name for name in FLAGS if _is_set(name, rounded))}


def _resize(rgb: np.ndarray, side: int) -> np.ndarray:
    height, width = rgb.shape[:2]
    if max(height, width) == side:
        return rgb
    shape = [max(1, round(length * side / max(height, width))) for length in (width, height)]
    return cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA)


def _dark_corners(grey: np.ndarray) -> float:
    _, areas = cv2.connectedComponents((grey < BLACK).astype(np.uint8), connectivity=4)
    corners = np.unique(areas[[0, 0, -1, -1], [0, -1, 0, -1]])
    return float(np.isin(areas, corners[corners > 0]).mean()) if corners.any() else 0.0


def _is_set(flag: str, measures: dict[str, float]) -> bool:
    name, side, limit = FLAGS[flag]
    return measures[name] > limit if side == "above" else measures[name] < limit


def has_flag(flags: pd.Series, flag: str) -> pd.Series:
    """Tell for each row of the column quality_flags whether `flag` is named; bool."""
    return flags.str.split().map(lambda names: flag in names)


def count_flags(flags: pd.Series) -> dict[str, int]:
    """Count the images that have each of FLAGS."""
    return {flag: int(has_flag(flags, flag).sum()) for flag in FLAGS}
