"""A figure of what the augmentation does."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.learn.augment import augment_image, build

SHOWN, DRAWS = 5, 7  # number of images, and of epochs per image


def draw_sheet(policy: list[dict[str, Any]], pixels: np.ndarray, split: pd.DataFrame, seed: int) -> Figure:
    """Draw SHOWN training images, each as stored (left) and as DRAWS epochs see it.

    Args:
        policy: result of augment.compile_policy.
        pixels: uint8 RGB (N, S, S, 3).
        split: N rows, columns image_id and split.
        seed: seed of the augmentation.
    """
    rows = np.flatnonzero(split["split"].eq("train"))
    rows = rows[np.linspace(0, len(rows) - 1, SHOWN).round().astype(int)]
    transforms = build(policy)
    images: list[list[np.ndarray]] = []
    titles: list[list[str]] = []
    for row in rows:
        image = np.array(pixels[row])
        images.append([image, *(augment_image(transforms, image, seed, draw, int(row)) for draw in range(DRAWS))])
        titles.append([str(split["image_id"][row]), *(f"epoch {draw + 1}" for draw in range(DRAWS))])
    title = "Augmentation: as stored (left), and as seen in different epochs"
    return figures.sheet(images, titles, title, width=11)
