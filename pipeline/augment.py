"""Compile the augmentation policy and show what it does."""

from lesionbench import errors  # isort: skip

from pathlib import Path

import numpy as np

from lesionbench import augment, figures, files, params

SHOWN, DRAWS = 5, 7


def main() -> None:
    config = params.load("seed", "augment")
    steps = augment.compile_policy(config.augment.model_dump())
    files.write_json("data/augmentation.json", steps)

    pixels = np.load("data/pixels.npy", mmap_mode="r")
    split = files.read_csv("data/split.csv")
    rows = np.flatnonzero(split["split"].eq("train"))
    rows = rows[np.linspace(0, len(rows) - 1, SHOWN).round().astype(int)]
    transforms = augment.build(steps)
    images, titles = [], []
    for row in rows:
        image = np.array(pixels[row])
        drawn = [augment.augment_image(transforms, image, config.seed, draw, int(row)) for draw in range(DRAWS)]
        images.append([image, *drawn])
        titles.append([str(split["image_id"][row]), *(f"epoch {draw + 1}" for draw in range(DRAWS))])
    title = "Augmentation: as stored (left), and as seen in different epochs"
    figures.save(figures.sheet(images, titles, title, width=11), Path("reports/augmentation.png"))


if __name__ == "__main__":
    errors.run(main)
