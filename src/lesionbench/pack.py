"""Pack all images into one array on disk, so that training decodes no image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lesionbench.core.files import atomic
from lesionbench.core.parallel import for_each
from lesionbench.images import read_rgb, shades_of_grey, square


def pack_images(paths: Sequence[Path], size: int, target: Path, fit: str = "squash", colour: str = "none") -> None:
    """Write `target` (.npy): uint8 RGB (N, size, size, 3); row i is paths[i], made square by area interpolation.

    Each row is written as it comes, so memory holds none but those that wait for the disk. The file is not
    memory-mapped, because a full disk would then kill the process without a message.

    Args:
        paths: files of the images.
        size: pixels.
        target: the file to write.
        fit: squash or crop, as images.square has them.
        colour: none, or shades_of_grey to remove the colour of the light.

    Raises:
        UserError: if an image cannot be read.
    """
    arguments = ((path, size, fit, colour) for path in paths)
    with atomic(target) as partial, partial.open("wb") as out:
        shape = (len(paths), size, size, 3)
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for pixels in for_each(read_square, arguments, f"pack at {size} px", len(paths)):
            out.write(pixels.tobytes())


def read_square(path: Path, size: int, fit: str, colour: str) -> np.ndarray:
    """Read an image as pack_images packs it: uint8 RGB (size, size, 3)."""
    pixels = square(read_rgb(path), size, fit)
    return shades_of_grey(pixels) if colour == "shades_of_grey" else pixels


def other_shapes(index: pd.DataFrame) -> list[str]:
    """One sentence for each cohort with images of another shape (aspect ratio) than most images have.

    Args:
        index: columns cohort, width and height (pixels).
    """
    ratio = (index["width"] / index["height"]).round(2)
    usual = ratio.mode()[0]
    return [
        f"note: {int(other.sum()):,} of {len(other):,} images of {cohort} have another shape than most "
        f"(width {usual:g} times the height): squashed to a square, their lesions are distorted in another way, and a "
        "middle square shows another share of them (pixels.fit)"
        for cohort, other in (ratio - usual).abs().gt(0.02).groupby(index["cohort"])
        if other.any()
    ]
