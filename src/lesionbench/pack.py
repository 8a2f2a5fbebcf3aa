"""All images in one array on disk, so that training never decodes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lesionbench.files import atomic
from lesionbench.images import for_each, read_rgb, square


def pack_images(paths: Sequence[Path], size: int, target: Path) -> None:
    """Write `target` (.npy): uint8 RGB (N, size, size, 3), row i the image paths[i], squashed by area interpolation.

    Memory stays flat: each image goes straight into the memory-mapped file.
    """
    with atomic(target) as partial:
        shape = (len(paths), size, size, 3)
        pixels = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)

        def put(i: int, path: Path) -> None:
            pixels[i] = square(read_rgb(path), size)

        for _ in for_each(put, enumerate(paths), f"pack at {size} px", len(paths)):
            pass
        pixels.flush()
