"""The inputs of a training, its key, and the cache of finished trainings, so that none is trained twice.

This module does not load PyTorch, so that a training found in the cache takes only seconds.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lesionbench.core import cache
from lesionbench.core.errors import UserError
from lesionbench.core.files import atomic, sha256, whole_folder, write_json
from lesionbench.learn import sharing
from lesionbench.networks import coding
from lesionbench.networks.packaged import PACKAGED

if TYPE_CHECKING:
    from lesionbench.params import Pixels, Train

MODEL, RESULTS = "model.safetensors", "train.json"  # files of a finished training
CACHED = "lesionbench.learn.training.make"  # the function whose results are kept
# Packages whose versions can change the weights.
MADE_WITH = (
    *("albumentations", "numpy", "opencv-python-headless", "pytorch-lightning", "safetensors", "timm", "torch"),
    *("torchmetrics", "torchvision", *(package.replace("_", "-") for package, _ in PACKAGED.values())),
)
# Bytes. The limit holds about a hundred ResNet-50 models, less than the images and arrays of one real run.
KEPT = 10 * 2**30
SEEN = ("train", "val")  # the splits that a training reads
MACHINE = ("workers", "overrides")  # keys of section train that cannot change the weights


@dataclass(frozen=True)
class Inputs:
    """Everything that a training depends on."""

    task: str
    backbone: str
    seed: int
    packed: "Pixels"  # params.yaml's section pixels: how the images were made square
    train: "Train"  # params.yaml's section, with the backbone's overrides
    policy: list[dict[str, Any]]  # compiled augmentation
    split: pd.DataFrame  # columns image_id, dx, split, and train.metadata, in the order of the pixels
    pixels: Path  # .npy of uint8 RGB (N, S, S, 3)

    @property
    def settings(self) -> dict[str, Any]:
        """Task, backbone, seed, section pixels, and the keys of section train that can change the weights.

        Where the number of processes changes last digits only, its keys have their usual values. With metadata their
        coding stands beside. Without, neither key is there, as in older model files.
        """
        kept = {name: value for name, value in self.train.model_dump().items() if name not in MACHINE}
        if not sharing.matters(self.train, self.backbone, self.packed.size):
            kept |= sharing.USUAL
        if kept["metadata"]:
            kept["coding"] = coding.coding(kept["metadata"])
        else:
            del kept["metadata"]
        packed = self.packed.model_dump()
        return {"task": self.task, "backbone": self.backbone, "seed": self.seed, **packed, **kept}


def train_key(inputs: Inputs) -> str:
    """The key of a training: 20 hex digits of a hash of its inputs and of its code (comments excluded).

    On one machine and with the same package versions, trainings with the same key give the same model, but for last
    digits where another number of processes shares the work. Of the images, those of train and val count. So another
    external cohort, or a corrected diagnosis in test, trains nothing again.
    """
    weights, seen = Path(inputs.train.weights), inputs.split["split"].isin(SEEN)
    rows = inputs.split[seen].reindex(columns=["image_id", "dx", "split", *inputs.train.metadata])
    # Whole ages are integers, unless an image that does not count lacks its age.
    rows = rows.astype(dict.fromkeys(rows.select_dtypes("number"), float))
    places = np.flatnonzero(seen)
    return cache.key(
        CACHED,
        (),
        inputs.settings,
        inputs.policy,
        rows.to_csv(index=False),
        cache.sha256(inputs.pixels, hashlib.sha256(places.tobytes()).hexdigest(), partial(_content, places)),
        cache.sha256(weights) if weights.is_file() else "",
    )[:20]


def _content(rows: np.ndarray, pixels: Path) -> str:
    """SHA-256 of these images, in hex, and of the shape of one."""
    images = np.load(pixels, mmap_mode="r")
    digest = hashlib.sha256(str(images.shape[1:]).encode())
    for start in range(0, len(rows), 256):  # images at a time, so that memory stays flat
        digest.update(images[rows[start : start + 256]].tobytes())
    return digest.hexdigest()


def entry(key: str) -> Path:
    """The cache folder of the training `key` on this machine, under the installed packages; it may not exist.

    One key gives other last digits on another processor or GPU, or with another version of a package.
    """
    made_with = json.dumps([[_version(package) for package in MADE_WITH], _machine()])
    return cache.folder("models") / f"{key}-{hashlib.sha256(made_with.encode()).hexdigest()[:8]}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # of the weights of another backbone
        return ""


def _machine() -> list[str]:
    """What of this machine can change a weight, as far as it can be told without PyTorch."""
    told = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", told.read_text()) if told.exists() else None
    gpus = sorted(path.read_text() for path in Path("/proc/driver/nvidia/gpus").glob("*/information"))
    set_by_user = [os.environ.get(name, "") for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")]
    return [platform.machine(), model[1] if model else platform.processor(), str(os.cpu_count()), *gpus, *set_by_user]


def restore(found: Path, model: Path) -> dict[str, Any] | None:
    """Copy the model out of a finished training's `entry` to `model`; return the training's results.

    Return None, with no file at `model`, if there is no whole entry.
    """
    try:
        stored = json.loads((found / RESULTS).read_text(encoding="utf-8"))
        if stored["model_sha256"] != sha256(found / MODEL):  # a loss of power may leave a part of a file
            return None
        with atomic(model) as partial:
            shutil.copyfile(found / MODEL, partial)
    except (FileNotFoundError, ValueError, KeyError):  # none, just removed by another process, or damaged
        return None
    cache.note_use(found)  # entries unused for longest are removed first
    results: dict[str, Any] = stored["results"]
    return results


def keep(found: Path, model: Path, results: dict[str, Any]) -> None:
    """Store a finished training as its `entry`, whole or not at all, in place of what may be left of an older one.

    A cache that cannot be written costs a warning: the training has its files already.

    Args:
        found: the entry's folder.
        model: the model file.
        results: results of the training.
    """
    try:
        shutil.rmtree(found, ignore_errors=True)
        with whole_folder(found) as folder:
            shutil.copyfile(model, folder / MODEL)
            write_json(folder / RESULTS, {"model_sha256": sha256(model), "results": results})
    except (OSError, UserError) as error:
        print(f"warning: the training is not kept in the cache ({error})", file=sys.stderr)


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
