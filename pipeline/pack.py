"""Resize all images to the training size and store them in one array.

Reads data/index.csv, data/hairless/ and, for images without hair, data/raw/. Writes data/pixels.npy, whose row i is
row i of the index. Training then decodes no image.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path

    from lesionbench import images, pack, params
    from lesionbench.core import files

    size = params.load("pixels").pixels.size
    paths = images.without_hair(files.read_csv("data/index.csv"), Path("data/hairless"))
    pack.pack_images(paths, size, Path("data/pixels.npy"))


if __name__ == "__main__":
    process.run(main)
