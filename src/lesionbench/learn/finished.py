"""The inputs of a training, its key, and the cache of finished trainings, so that none is trained twice.

This module does not load PyTorch, so that a training found in the cache takes only seconds.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lesionbench.core import cache
from lesionbench.core.files import atomic, sha256, whole_folder

if TYPE_CHECKING:
    from lesionbench.params import Train

MODEL, RESULTS = "model.safetensors", "train.json"  # files of a finished training
# Packages whose versions can change the weights.
MADE_WITH = ("albumentations", "numpy", "opencv-python-headless", "pytorch-lightning", "timm", "torch", "torchvision")
# Bytes. The limit holds about a hundred ResNet-50 models, less than the images and arrays of one real run.
KEPT = 10 * 2**30
MACHINE = ("workers",)  # keys of section train that cannot change the weights


@dataclass(frozen=True)
class Inputs:
    """Everything that a training depends on."""

    task: str
    backbone: str
    seed: int
    size: int  # pixels of a side of the square images
    train: "Train"  # params.yaml's section
    policy: list[dict[str, Any]]  # compiled augmentation
    split: pd.DataFrame  # columns image_id, dx, split, in the order of the pixels
    pixels: Path  # .npy of uint8 RGB (N, S, S, 3)

    @property
    def settings(self) -> dict[str, Any]:
        """Task, backbone, seed, size, and the keys of section train that can change the weights."""
        kept = {name: value for name, value in self.train.model_dump().items() if name not in MACHINE}
        return {"task": self.task, "backbone": self.backbone, "seed": self.seed, "size": self.size, **kept}


def train_key(inputs: Inputs) -> str:
    """The key of a training: 20 hex digits of a hash of its inputs and of its code (comments excluded).

    On one machine and with the same package versions, trainings with the same key give the same model.
    """
    weights = Path(inputs.train.weights)
    return cache.key(
        "lesionbench.learn.training.make",
        (),
        inputs.settings,
        inputs.policy,
        inputs.split[["image_id", "dx", "split"]].to_csv(index=False),
        sha256(inputs.pixels),
        sha256(weights) if weights.is_file() else "",
    )[:20]


def entry(key: str) -> Path:
    """The cache folder of the training `key` under the installed versions of MADE_WITH; the folder may not exist."""
    versions = json.dumps([version(package) for package in MADE_WITH])
    return cache.folder("models") / f"{key}-{hashlib.sha256(versions.encode()).hexdigest()[:8]}"


def restore(found: Path, model: Path) -> dict[str, Any] | None:
    """Copy the model of a finished training from its entry `found` to `model`, and return the training's results.

    If there is no entry, return None and leave `model` unchanged.
    """
    try:
        os.utime(found)  # remove_unused goes by the time of last use
        results: dict[str, Any] = json.loads((found / RESULTS).read_text(encoding="utf-8"))
        with atomic(model) as partial:
            shutil.copyfile(found / MODEL, partial)
    except FileNotFoundError:  # never there, or just removed by another process
        return None
    return results


def keep(found: Path, save: Callable[[Path], None]) -> None:
    """Create the entry of a finished training, whole or not at all. An incomplete older entry is replaced.

    Args:
        found: the entry's folder.
        save: writes the files MODEL and RESULTS into a given folder.
    """
    shutil.rmtree(found, ignore_errors=True)
    with whole_folder(found) as folder:
        save(folder)


def remove_unused(kept: int = KEPT) -> None:
    """Remove the entries unused for longest, so that the others take at most `kept` bytes."""
    store = cache.folder("models")
    sizes: dict[Path, tuple[float, int]] = {}
    for each in store.glob("[!.]*"):
        with suppress(FileNotFoundError):  # another process may be removing it
            sizes[each] = each.stat().st_mtime, sum(file.stat().st_size for file in each.iterdir())
    total = 0
    for each, (_, size) in sorted(sizes.items(), key=lambda item: item[1][0], reverse=True):
        total += size
        if total > kept:
            # The rename comes first, so that an entry is always complete or absent.
            with suppress(OSError):
                each.rename(store / f".{each.name}.gone")
    for leftover in store.glob(".*"):
        with suppress(FileNotFoundError):
            if leftover.suffix == ".gone" or time.time() - leftover.stat().st_mtime > 86_400:
                shutil.rmtree(leftover, ignore_errors=True)
