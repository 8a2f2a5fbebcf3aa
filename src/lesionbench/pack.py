"""Pack all images into one array on disk, so that training decodes no image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lesionbench.core.files import atomic
from lesionbench.core.parallel import for_each
from lesionbench.images import read_rgb, square


def pack_images(paths: Sequence[Path], size: int, target: Path) -> None:
    """Write `target` (.npy): uint8 RGB (N, size, size, 3); row i is paths[i], squashed by area interpolation.

    Each image goes straight to its place in the file, so memory use is constant. The file is not memory-mapped,
    because a full disk would then kill the process without a message.

    Raises:
        UserError: if an image cannot be read.
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
