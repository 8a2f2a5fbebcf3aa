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

    Each image goes straight to its place in the file, so memory use is constant. The file is not memory-mapped,
    because a full disk would then kill the process without a message.

    Args:
        paths: files of the images.
        size: pixels.
        target: the file to write.
        fit: squash or crop, as images.square has them.
        colour: none, or shades_of_grey to remove the colour of the light.

    Raises:
        UserError: if an image cannot be read.
    """
    with atomic(target) as partial:
        shape = (len(paths), size, size, 3)
        with partial.open("wb") as out:
            np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
            start = out.tell()

        def put(i: int, path: Path) -> None:
            pixels = square(read_rgb(path), size, fit)
            if colour == "shades_of_grey":
                pixels = shades_of_grey(pixels)
            with partial.open("r+b") as out:
                out.seek(start + i * pixels.size)
                out.write(pixels.tobytes())

        for _ in for_each(put, enumerate(paths), f"pack at {size} px", len(paths)):
            pass


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
