"""Resize all images to the training size and store them in one array.

Reads data/index.csv, data/hairless/ and, for images without hair, data/raw/. Writes data/pixels.npy, whose row i is
row i of the index. Training then decodes no image.
"""

from lesionbench.core import process


def main() -> None:
    from pathlib import Path

    from lesionbench import images, pack, params
    from lesionbench.core import files

    pixels, index = params.load("pixels").pixels, files.read_csv("data/index.csv")
    for line in pack.other_shapes(index):
        print(line)
    paths = images.without_hair(index, Path("data/hairless"))
    pack.pack_images(paths, pixels.size, Path("data/pixels.npy"), pixels.fit, pixels.colour)


if __name__ == "__main__":
    process.run(main)
