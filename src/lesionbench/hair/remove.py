"""Images without their hair, kept in a cache by what they were made from; and scores of how well hair was found."""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.core import cache
from lesionbench.core.files import atomic, write_bytes
from lesionbench.core.parallel import for_each
from lesionbench.hair.fill import fill_hair
from lesionbench.hair.find import find_hair
from lesionbench.images import encode, read_mask, read_rgb, square

if TYPE_CHECKING:
    from lesionbench.params import Hair

CACHED = "lesionbench.hair.remove.without_hair"  # the function whose results are kept
MADE_WITH = ("llvmlite", "numba", "numpy", "opencv-python-headless")  # packages whose versions may change a pixel
COVERAGE = struct.Struct("<d")  # Share of pixels that are hair, at the head of a cache entry; the JPEG follows.
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
KEPT_FOR = 90  # Days.
SHOWN = 4  # Images of each kind on the sheet.


def remove_hair(index: pd.DataFrame, section: "Hair", stored: Path, folder: Path) -> pd.Series:
    """Remove the hair of each image that has some, and write the result to `folder`.

    Args:
        index: columns path and sha256.
        section: params.yaml's section hair.
        stored: folder of the results of earlier runs; used and filled. One run at a time may use it. What nobody
            asked for in KEPT_FOR days leaves it.
        folder: gets <image's stem>.jpg, quality 95 at 4:4:4; images without hair are left out.

    Returns:
        Share of each image's pixels that are hair, 0 to 1, with the index of `index`.
    """
    for leftover in stored.rglob(".*.partial*"):
        leftover.unlink()
    pairs = zip(index["path"], index["sha256"], strict=True)
    arguments = ((Path(path), content, section, stored) for path, content in pairs)
    found = for_each(remove_from_file, arguments, "remove hair", len(index))
    shares = []
    for path, (share, jpeg) in zip(index["path"], found, strict=True):
        if share:
            write_bytes(folder / f"{Path(path).stem}.jpg", jpeg)
        shares.append(share)
    for shard in stored.glob("*/"):
        cache.remove_old(shard, KEPT_FOR)
    return pd.Series(shares, index.index, float)


def remove_from_file(path: Path, content: str, section: "Hair", stored: Path) -> tuple[float, bytes]:
    """Do as `without_hair` for the image at `path`, whose file has the SHA-256 `content`, with results in `stored`."""
    key = cache.key(CACHED, MADE_WITH, content, section.model_dump())
    entry = stored / key[:2] / key
    found = entry.read_bytes() if entry.exists() else b""
    if len(found) >= COVERAGE.size:  # a loss of power may leave an empty file
        cache.note_use(entry)
        (coverage,) = COVERAGE.unpack_from(found)
        return coverage, found[COVERAGE.size :]
    coverage, jpeg = without_hair(path, section)
    with atomic(entry, shared=True) as partial:
        partial.write_bytes(COVERAGE.pack(coverage) + jpeg)
    return coverage, jpeg


def without_hair(path: Path, section: "Hair") -> tuple[float, bytes]:
    """Remove the hair of the image at `path`.

    Returns:
        Share of the image's pixels that are hair, 0 to 1, and the image without hair as JPEG. An image that has no hair
        gives no bytes.
    """
    rgb = read_rgb(path)
    mask = hair_mask(rgb, section)
    coverage = float(mask.mean())
    return coverage, encode(".jpg", fill_hair(rgb, mask), JPEG) if coverage else b""


def hair_mask(rgb: np.ndarray, section: "Hair") -> np.ndarray:
    """Find the hair mask, bool (H, W), of uint8 RGB (H, W, 3) by params.yaml's section hair; empty for method none."""
    if section.method == "none":
        return np.zeros(rgb.shape[:2], bool)
    return find_hair(rgb, section.kernel, section.threshold, section.min_length, section.edge)


def detection_scores(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Precision, recall and Dice over all pixels of (found, true) pairs of bool masks, each 0 to 1."""
    hit = found = true = 0
    for each, truth in pairs:
        hit += int((each & truth).sum())
        found += int(each.sum())
        true += int(truth.sum())
    return {
        "precision": round(hit / max(1, found), 6),
        "recall": round(hit / max(1, true), 6),
        "dice": round(2 * hit / max(1, found + true), 6),
    }


def summarise(index: pd.DataFrame, coverage: pd.Series, section: "Hair", truth: Path) -> dict[str, object]:
    """Count what was found, and score it where the folder `truth` has true masks, <image_id>.png.

    Args:
        index: columns image_id and path.
        coverage: share of each image's pixels that are hair, 0 to 1.
        section: params.yaml's section hair.
        truth: folder of masks, which may be missing.
    """
    found: dict[str, object] = {
        "images": len(index),
        "with_hair": int((coverage > 0).sum()),
        "mean_coverage": round(float(coverage.mean()), 6),
    }
    if truth.is_dir():
        known = index[index["image_id"].map(lambda image_id: (truth / f"{image_id}.png").exists())]
        found["detection"] = detection_scores(
            (hair_mask(read_rgb(path), section), read_mask(truth / f"{image_id}.png"))
            for image_id, path in zip(known["image_id"], known["path"], strict=True)
        )
    return found


def draw_sheet(index: pd.DataFrame, coverage: pd.Series, section: "Hair") -> Figure:
    """Draw image, mask and filled image for the hairiest images (left) and for some others (right).

    Args:
        index: columns image_id and path.
        coverage: share of each image's pixels that are hair, 0 to 1.
        section: params.yaml's section hair.
    """
    table = index[["image_id", "path"]].assign(coverage=coverage)
    hairiest = table.sort_values(["coverage", "image_id"], ascending=[False, True]).head(SHOWN)
    others = table[table["coverage"].gt(0)].sort_values("image_id")
    others = others.iloc[np.linspace(0, len(others) - 1, SHOWN).round().astype(int)] if len(others) else others
    images, titles = [], []
    for kind, rows in (("hairiest", hairiest), ("any", others)):
        for image_id, path in zip(rows["image_id"], rows["path"], strict=True):
            before = read_rgb(path)
            mask = hair_mask(before, section)
            after = fill_hair(before, mask)
            images.append([square(each, 192) for each in (before, mask.astype(np.uint8) * 255, after)])
            titles.append([f"{image_id} ({kind})", f"hair on {mask.mean():.1%}", "filled"])
    pairs = [images[i] + images[i + SHOWN] for i in range(min(SHOWN, len(images) - SHOWN))]
    names = [titles[i] + titles[i + SHOWN] for i in range(len(pairs))]
    title = f"Hair removal: {int(coverage.gt(0).sum())} of {len(table)} images have hair found"
    return figures.sheet(pairs or images, names or titles, title, width=9)
