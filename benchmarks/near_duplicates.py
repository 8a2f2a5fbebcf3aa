"""Add transformed copies to the real images and count which ones are found, by transformation.

Run this by hand in a folder that has data/index.csv and its images:

    PYTHONPATH=src python benchmarks/near_duplicates.py COUNT THRESHOLD

COUNT is the number of copies per transformation. Images are written only to a temporary folder.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lesionbench import images
from lesionbench.core import files
from lesionbench.core.sampling import hash_order
from lesionbench.duplicates import search

Transformation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crop to 70 to 90 % of each side, at a random place."""
    (rows, columns), (high, wide) = image.shape[:2], np.round(np.array(image.shape[:2]) * rng.uniform(0.7, 0.9))
    top, left = int(rng.integers(rows - high + 1)), int(rng.integers(columns - wide + 1))
    return image[top : top + int(high), left : left + int(wide)]


def _turn(image: np.ndarray, angle: float, zoom: float) -> np.ndarray:
    rows, columns = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, zoom)
    return cv2.warpAffine(image, matrix, (columns, rows), borderMode=cv2.BORDER_REFLECT_101)


def zoom(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Zoom by a factor of 0.6 (out, mirrored at the border) to 1.6 (in)."""
    return _turn(image, 0, rng.uniform(0.6, 1.6))


def rotation(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate by any angle, mirrored at the border."""
    return _turn(image, rng.uniform(0, 360), 1)


def flip(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flip left to right or top to bottom."""
    return image[:, ::-1] if rng.random() < 0.5 else image[::-1]


def colour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change each channel's gain (0.85 to 1.15), contrast (0.7 to 1.3) and brightness (-30 to 30 grey levels)."""
    changed = (image * rng.uniform(0.85, 1.15, 3) - 128) * rng.uniform(0.7, 1.3) + 128 + rng.uniform(-30, 30)
    return changed.round().clip(0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Encode as JPEG of quality 50."""
    data = np.frombuffer(images.encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


def rescale(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reduce to 0.3 to 0.8 of the size."""
    scale = rng.uniform(0.3, 0.8)
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def combination(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply all of the above except zoom."""
    for each in (crop, rotation, flip, colour, rescale, jpeg):
        image = each(image, rng)
    return image


TRANSFORMATIONS: tuple[Transformation, ...] = (crop, zoom, rotation, flip, colour, jpeg, rescale, combination)


def plant(index: pd.DataFrame, count: int, folder: Path) -> pd.DataFrame:
    """Write `count` images per transformation; returns one row each, in the cohort "planted".

    The column `of` has the image_id of the original, `kind` the name of the transformation.
    """
    rows = []
    chosen = index.set_index("image_id").loc[hash_order(index["image_id"], 0)[: count * len(TRANSFORMATIONS)]]
    for i, (image_id, row) in enumerate(chosen.iterrows()):
        transformation = TRANSFORMATIONS[i % len(TRANSFORMATIONS)]
        image = transformation(images.read_rgb(row["path"]), np.random.default_rng(i))
        name, kind = f"planted_{i:05}", transformation.__name__
        # Quality 95, so that JPEG adds little to the transformation.
        files.write_bytes(folder / f"{name}.jpg", images.encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95]))
        rows.append((name, name, "planted", str(folder / f"{name}.jpg"), image_id, kind))
    return pd.DataFrame(rows, columns=["image_id", "lesion_id", "cohort", "path", "of", "kind"])


def main(count: int, threshold: float) -> None:
    index = files.read_csv("data/index.csv")
    own = index[index["cohort"].eq(index["cohort"].mode()[0])]
    with tempfile.TemporaryDirectory() as folder:
        planted = plant(own, count, Path(folder))
        start = time.perf_counter()
        pairs = search.find(pd.concat([own, planted]), str(own["cohort"].iloc[0]))
        print(f"{len(own) + len(planted)} images in {time.perf_counter() - start:.0f} s")
    files.write_csv("planted_pairs.csv", pairs)
    scores = pairs.set_index(["image_id_a", "image_id_b"])["score"]
    found = planted.assign(score=[scores.get((a, b), 0.0) for a, b in planted[["of", "image_id"]].to_numpy()])
    shares = found.groupby("kind", sort=False)["score"].agg(
        planted="size", found=lambda s: (s >= threshold).mean(), above_floor=lambda s: (s > 0).mean(), median="median"
    )
    print(shares.round(3).to_string())
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
