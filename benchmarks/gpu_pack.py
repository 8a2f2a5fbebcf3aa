"""Move a packed dataset to a machine that has neither DVC nor a network.

    python -m benchmarks.gpu_pack pack FOLDER      # here, after `dvc repro augment`: FOLDER/part-0.zip, ...
    python -m benchmarks.gpu_pack unpack FOLDER    # there, in the project's root

Pixels travel as JPEG of quality 90, so trainings there differ slightly from trainings here.
"""

import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np

from lesionbench import images
from lesionbench.core.files import atomic
from lesionbench.core.progress import progress

TABLES = ("data/split.csv", "data/augmentation.json")
PART = 55 * 2**20  # Bytes of images in one part.
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]


def pack(folder: Path) -> None:
    """Write the parts into `folder`. The first part also has the tables."""
    pixels = np.load("data/pixels.npy", mmap_mode="r")
    folder.mkdir(parents=True, exist_ok=True)
    part = size = 0
    archive = zipfile.ZipFile(folder / "part-0.zip", "w")
    for name in TABLES:
        archive.write(name, compress_type=zipfile.ZIP_DEFLATED)
    for row, image in enumerate(progress(pixels, "pack for the GPU", len(pixels))):
        data = images.encode(".jpg", image, JPEG)
        size += len(data)
        if size > PART:
            archive.close()
            part, size = part + 1, len(data)
            archive = zipfile.ZipFile(folder / f"part-{part}.zip", "w")
        archive.writestr(f"{row}.jpg", data)
    archive.close()
    for path in sorted(folder.glob("part-*.zip")):
        print(f"{path} {path.stat().st_size / 2**20:.1f} MiB")


def unpack(folder: Path) -> None:
    """Write data/pixels.npy and the tables from the parts in `folder`."""
    archives = [zipfile.ZipFile(path) for path in sorted(folder.glob("part-*.zip"))]
    for name in TABLES:
        archives[0].extract(name)
    rows = {
        int(Path(name).stem): archive for archive in archives for name in archive.namelist() if name.endswith(".jpg")
    }
    decoded = (
        cv2.imdecode(np.frombuffer(rows[row].read(f"{row}.jpg"), np.uint8), cv2.IMREAD_COLOR_RGB)
        for row in sorted(rows)
    )
    first = next(decoded)
    with atomic("data/pixels.npy") as partial:
        array = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(rows), *first.shape))
        array[0] = first
        for row, image in enumerate(progress(decoded, "unpack", len(rows) - 1), start=1):
            array[row] = image
        array.flush()


if __name__ == "__main__":
    {"pack": pack, "unpack": unpack}[sys.argv[1]](Path(sys.argv[2]))
