"""Reading and writing images, and doing one thing to many of them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lesionbench.errors import UserError
from lesionbench.progress import progress


def read_rgb(path: str | Path) -> np.ndarray:
    """Read an image as uint8 RGB, (H, W, 3), as stored: an EXIF orientation is not applied, as masks have none."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise UserError(f"{path} is missing or cannot be read as an image")
    return image


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as bool, (H, W); true where the stored grey level is above 127."""
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise UserError(f"{path} is missing or cannot be read as a mask")
    return mask > 127


def encode(suffix: str, rgb: np.ndarray, options: Sequence[int] = ()) -> bytes:
    """Encode uint8 RGB, (H, W, 3), in the format that `suffix` names; `options` are OpenCV's IMWRITE pairs."""
    done, data = cv2.imencode(suffix, np.ascontiguousarray(rgb[..., ::-1]), list(options))
    if not done:
        raise ValueError(f"OpenCV cannot encode {suffix}")
    return data.tobytes()


def square(image: np.ndarray, size: int) -> np.ndarray:
    """Squash to (size, size) by area interpolation; nothing is cropped, the aspect ratio is given up."""
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def for_each(
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    title: str,
    total: int,
) -> Iterable[Any]:
    """Call `function(*a)` for each a of `arguments` on all cores; yield the results in order, with progress.

    Threads start at once, serve what OpenCV does outside the interpreter's lock, and none outlives a killed run.
    """
    from joblib import Parallel, delayed

    cv2.setNumThreads(1)
    results = Parallel(n_jobs=-1, prefer="threads", return_as="generator", batch_size="auto")(
        delayed(function)(*each) for each in arguments
    )
    return progress(results, title, total)
