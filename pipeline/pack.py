"""Resize all images to the training size, into one array."""

from lesionbench import errors  # isort: skip

from pathlib import Path

from lesionbench import files, pack, params


def main() -> None:
    size = params.load("pixels").pixels.size
    index = files.read_csv("data/index.csv")
    hairless = Path("data/hairless")
    paths = [
        filled if (filled := hairless / f"{image_id}.jpg").exists() else Path(path)
        for image_id, path in zip(index["image_id"], index["path"], strict=True)
    ]
    pack.pack_images(paths, size, Path("data/pixels.npy"))


if __name__ == "__main__":
    errors.run(main)
