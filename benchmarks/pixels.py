"""Packed pixels against torchvision's ImageFolder with the same augmentation: images/s, memory, random order."""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, Resize

from benchmarks import data
from lesionbench import pack, params
from lesionbench.core.process import keep_memory
from lesionbench.learn import augment, batches

SIZE, BATCH, SEED = 224, 32, 1
TIMED = 1024  # Images per measurement.
REPEATS = 3


class Augmented:
    """A torchvision transform that applies our augmentation: PIL image to uint8 tensor (S, S, 3)."""

    def __init__(self, steps: list[dict]) -> None:
        self.transforms, self.drawn = augment.build(steps), 0

    def __call__(self, image: Image.Image) -> torch.Tensor:
        self.drawn += 1
        return torch.from_numpy(augment.augment_image(self.transforms, np.asarray(image), SEED, 0, self.drawn))


def image_folder(paths: list[Path], folder: Path, steps: list[dict]) -> Dataset:
    """torchvision's ImageFolder of these files, linked into one class folder."""
    (folder / "class").mkdir(parents=True)
    for path in paths:
        (folder / "class" / path.name).symlink_to(path.resolve())
    return ImageFolder(str(folder), Compose([Resize((SIZE, SIZE)), Augmented(steps)]))


def rate(loader: Iterable, images: int) -> float:
    """Images per second, without the wait for the first batch."""
    done, batches = 0, iter(loader)
    next(batches)
    start = time.perf_counter()
    for pixels, _ in batches:
        done += len(pixels)
        if done >= images:
            break
    return done / (time.perf_counter() - start)


def anonymous_mib() -> float:
    """MiB of this process's memory that no file backs."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def main() -> None:
    cv2.setNumThreads(1)
    keep_memory()  # as the stage train does; for both loaders
    folder, real = data.images_folder()
    paths = sorted((folder / "images").glob("*.jpg"))
    steps = augment.compile_policy(params.load("augment").augment)
    with tempfile.TemporaryDirectory() as temporary:
        array = Path(temporary) / "pixels.npy"
        pack.pack_images(paths, SIZE, array)
        rows_of_array, labels = np.arange(len(paths)), np.zeros(len(paths), int)
        packed = batches.PackedImages(array, rows_of_array, labels, steps, SEED)
        usual = image_folder(paths, Path(temporary) / "folder", steps)
        images = min(TIMED, len(paths) - 2 * BATCH)
        rows = []
        for workers in (0, 2):
            found: dict[str, list[float]] = {"ours": [], "usual": []}
            for _ in range(REPEATS):
                found["ours"].append(rate(batches.loader(packed, BATCH, workers, shuffle=True), images))
                found["usual"].append(rate(DataLoader(usual, BATCH, shuffle=True, num_workers=workers), images))
            ours, other = (float(np.median(each)) for each in found.values())
            rows.append((f"images/s, {workers} workers", f"{ours:,.0f}", f"{other:,.0f}", f"{ours / other:.1f}", "5"))
        bare = batches.PackedImages(array, rows_of_array, labels, [], SEED)
        by_order = {}
        for order, shuffle in (("in order", False), ("in random order", True)):
            by_order[order] = max(rate(batches.loader(bare, BATCH, 0, shuffle), len(paths)) for _ in range(REPEATS))
        before = anonymous_mib()
        rate(batches.loader(packed, BATCH, 0, shuffle=True), len(paths))
        grown = anonymous_mib() - before
        size = array.stat().st_size / 2**20
    print(
        data.source(real, len(paths)), f"At {SIZE} px, batches of {BATCH}; ImageFolder decodes and resizes each time.\n"
    )
    print(data.table(("", "packed", "ImageFolder", "ratio", "goal"), rows))
    told = ", ".join(f"{value:,.0f} images/s {order}" for order, value in by_order.items())
    print(f"Packed, without augmentation: {told}. An epoch over {size:,.0f} MiB of pixels takes {grown:.0f} MiB.\n")


if __name__ == "__main__":
    main()
