"""All images in one array on disk, so that training never decodes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lesionbench.files import atomic
from lesionbench.images import for_each, read_rgb, square


def pack_images(paths: Sequence[Path], size: int, target: Path) -> None:
    """Write `target` (.npy): uint8 RGB (N, size, size, 3), row i the image paths[i], squashed by area interpolation.

    Memory stays flat: each image goes straight to its place in the file. The file is not memory-mapped, as a full
    disk would then kill the process without a word.
    """
    with atomic(target) as partial:
        shape = (len(paths), size, size, 3)
        with partial.open("wb") as out:
            np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
            start = out.tell()

        def put(i: int, path: Path) -> None:
            pixels = square(read_rgb(path), size)
            with partial.open("r+b") as out:
                out.seek(start + i * pixels.size)
                out.write(pixels.tobytes())

        for _ in for_each(put, enumerate(paths), f"pack at {size} px", len(paths)):
            pass
