"""Resize all images to the training size, into one array."""

from pathlib import Path

import pandas as pd

from lesionbench import errors, pack, params


def main() -> None:
    size = params.load("pixels").pixels.size
    index = pd.read_csv("data/index.csv", keep_default_na=False)
    hairless = Path("data/hairless")
    paths = [
        filled if (filled := hairless / f"{image_id}.jpg").exists() else Path(path)
        for image_id, path in zip(index["image_id"], index["path"], strict=True)
    ]
    pack.pack_images(paths, size, Path("data/pixels.npy"))


if __name__ == "__main__":
    errors.run(main)
