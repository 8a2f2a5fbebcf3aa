"""Read, encode and resize images."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lesionbench.core.errors import UserError


def read_rgb(path: str | Path) -> np.ndarray:
    """Read an image as uint8 RGB (H, W, 3); raises UserError if that fails.

    EXIF orientation is ignored, because masks have none.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise UserError(f"{path} is missing or cannot be read as an image")
    return image


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as bool (H, W), True where the stored grey level exceeds 127; raises UserError if that fails."""
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise UserError(f"{path} is missing or cannot be read as a mask")
    return mask > 127


def encode(suffix: str, rgb: np.ndarray, options: Sequence[int] = ()) -> bytes:
    """Encode uint8 RGB (H, W, 3) in the format of `suffix`, such as ".jpg".

    `options` are OpenCV's IMWRITE pairs. Raises ValueError if OpenCV cannot encode the format.
    """
    done, data = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), list(options))
    if not done:
        raise ValueError(f"OpenCV cannot encode {suffix}")
    return data.tobytes()


def square(image: np.ndarray, size: int, fit: str = "squash") -> np.ndarray:
    """Make an image, or a mask of grey levels, (size, size) by area interpolation.

    Args:
        image: uint8 (H, W, 3) or (H, W).
        size: pixels.
        fit: `squash` keeps the whole image and loses the aspect ratio; `crop` keeps the middle square.

    Examples:
        >>> import numpy as np
        >>> square(np.zeros((450, 600, 3), np.uint8), 224).shape
        (224, 224, 3)
    """
    if fit == "crop":
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def shades_of_grey(image: np.ndarray, power: int = 6) -> np.ndarray:
    """Remove the colour of the light from uint8 RGB (H, W, 3): shades of grey (Finlayson and Trezzi 2004).

    The light's colour is the mean of each channel by the norm `power`, which bright pixels rule. Each channel is
    divided by its share of it, so that the light becomes grey. A black image stays as it is.

    Examples:
        >>> import numpy as np
        >>> shades_of_grey(np.full((2, 2, 3), (200, 100, 50), np.uint8))[0, 0]  # all that it shows is the light
        array([132, 132, 132], dtype=uint8)
    """
    levels = np.arange(256, dtype=np.float64)
    counts = np.stack([np.bincount(image[..., channel].ravel(), minlength=256) for channel in range(3)])
    light = (counts @ levels**power / counts.sum(axis=1)) ** (1 / power)
    if not light.all():
        return image
    gains = np.sqrt((light**2).mean()) / light
    table = np.clip(np.rint(levels[:, None] * gains), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table[None])


def without_hair(index: pd.DataFrame, hairless: Path) -> list[Path]:
    """Files to train on: each image's file in `hairless`, or the raw file if no hair was found.

    Args:
        index: columns image_id and path (of the raw file).
        hairless: folder of <image_id>.jpg from the stage remove_hair.
    """
    pairs = zip(index["image_id"], index["path"], strict=True)
    return [filled if (filled := hairless / f"{image_id}.jpg").exists() else Path(path) for image_id, path in pairs]
