"""A training that takes a second: images of noise, half of which have a red middle, and a small network."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lesionbench import params
from lesionbench.learn import training
from lesionbench.learn.batches import PackedImages, choose_workers, loader
from lesionbench.networks import backbones, coding, metadata

SIZE, TRAIN, VAL = 32, 48, 24
POLICY: list[dict[str, Any]] = [{"name": "horizontal_flip", "p": 0.5}, {"name": "brightness", "factor": [0.9, 1.1]}]


def small_section(root: Path) -> params.Train:
    """Section train of params.yaml, made small."""
    train = params.load("train", path=root / "params.yaml").train
    small = {"epochs": 3, "batch_size": 12, "learning_rate": 0.005, "patience": 9, "accelerator": "cpu", "workers": 0}
    return train.model_copy(update={**small, "monitor": "average_precision"})


def draw_pixels(path: Path) -> None:
    """Noise; images with an even number have a bright red middle."""
    pixels = np.random.default_rng(0).integers(60, 160, (TRAIN + VAL, SIZE, SIZE, 3), dtype=np.uint8)
    pixels[::2, 8:24, 8:24, 0] += 90
    np.save(path, pixels)


def draw_metadata() -> pd.DataFrame:
    """Age, sex and site of each image, with gaps; they say nothing about its class."""
    rng = np.random.default_rng(1)
    drawn = {
        "age": rng.integers(20, 80, TRAIN + VAL).astype(float),
        "sex": rng.choice(["female", "male", ""], TRAIN + VAL),
    }
    drawn["age"][::9] = np.nan
    return pd.DataFrame(drawn).assign(localization=rng.choice(["back", "face", ""], TRAIN + VAL))


def fit(
    packed: Path, section: params.Train, checkpoints: Path, classes: int = 2, on_epoch: Any = None, **changes: Any
) -> tuple[training.Fitted, dict[str, torch.Tensor]]:
    """Train a small network with dropout, stochastic depth and batch norm; returns what came out and its weights."""
    train = section.model_copy(update=changes)
    coded = coding.coding(train.metadata)
    known = coding.encode(draw_metadata(), coded)
    targets = 1 - np.arange(TRAIN + VAL) % 2 if classes == 2 else np.arange(TRAIN + VAL) % classes

    def batches(rows: np.ndarray, shuffle: bool) -> Any:
        beside = (known[rows], coding.blocks(coded) if shuffle else None) if coded else ()
        images = PackedImages(packed, rows, targets[rows], POLICY if shuffle else [], 7, *beside)
        return loader(images, train.batch_size, choose_workers(train.workers, train.batch_size, SIZE), shuffle)

    torch.manual_seed(7)
    made = backbones.build("timm:mobilenetv3_small_050", classes, SIZE, dropout=0.2, stochastic_depth=0.1)
    metadata.attach(made, coded, classes)
    own = torch.from_numpy(targets[:TRAIN])
    fitted = training.fit(
        made,
        [str(c) for c in range(classes)],
        own,
        batches(np.arange(TRAIN), True),
        batches(np.arange(TRAIN, TRAIN + VAL), False),
        train,
        7,
        checkpoints,
        on_epoch,
    )
    return fitted, copy.deepcopy(made.network.state_dict())


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
