"""Hair removal against DullRazor as common notebooks implement it: restoration, detection, harm and time.

Synthetic hairs are drawn over images without hair, which benchmarks/hairless.csv lists (chosen by eye).
"""

import csv
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from benchmarks import data
from lesionbench import images, params
from lesionbench.core import parallel
from lesionbench.core.files import sha256
from lesionbench.core.progress import progress
from lesionbench.hair import fill, remove

COLOURS = {"dark": (38, 30, 28), "brown": (100, 70, 52), "light": (236, 222, 196)}
WIDTHS = (1, 2, 3, 4, 5)
COVER = 0.05, 0.25
FINER = 4  # Factor by which hairs are drawn larger and then reduced, for soft edges.
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (17, 17))


def reference_mask(rgb: np.ndarray) -> np.ndarray:
    """The mask of common DullRazor notebooks: black-hat with a 17x17 cross on grey, threshold 10."""
    black_hat = cv2.morphologyEx(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.MORPH_BLACKHAT, CROSS)
    return black_hat >= 10


def reference_fill(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The fill of the same notebooks: cv2.inpaint, TELEA, radius 6."""
    return cv2.inpaint(rgb, mask.astype(np.uint8), 6, cv2.INPAINT_TELEA)


def draw_hairs(rgb: np.ndarray, colour: str, width: int, cover: float, rng: np.random.Generator) -> tuple:
    """Draw bent hairs over a share `cover` of the image; returns the image and the mask, bool (H, W).

    A pixel is hair where a hair covers 5 % of it or more. `width` is in pixels.
    """
    high, wide = rgb.shape[:2]
    drawn, t = np.zeros((high * FINER, wide * FINER), np.uint8), np.linspace(0, 1, 24)[:, None]
    mask = np.zeros((high, wide), bool)
    while mask.mean() < cover:
        start, angle, length = (
            rng.uniform(0, 1, 2) * (wide, high),
            rng.uniform(0, 2 * np.pi),
            rng.uniform(0.2, 0.8) * wide,
        )
        along = np.array([np.cos(angle), np.sin(angle)]) * length
        bend = np.array([-along[1], along[0]]) * rng.uniform(-0.2, 0.2)
        points = start + 2 * (1 - t) * t * (along / 2 + bend) + t**2 * along
        cv2.polylines(drawn, [np.rint(points * FINER * 16).astype(np.int32)], False, 255, width * FINER, cv2.LINE_8, 4)
        opacity = cv2.resize(drawn, (wide, high), interpolation=cv2.INTER_AREA)
        mask = opacity > 12
    share = opacity[..., None] / 255 * rng.uniform(0.85, 1)
    strand = np.array(COLOURS[colour]) + rng.normal(0, 8, 3) + rng.normal(0, 4, (high, wide, 1))
    return np.rint(rgb * (1 - share) + strand.clip(0, 255) * share).clip(0, 255).astype(np.uint8), mask


def quality(found: np.ndarray, true: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """PSNR in dB and mean SSIM of the pixels under `mask`, bool (H, W); the images are uint8 RGB (H, W, 3)."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    torch.set_num_threads(1)
    error = ((found[mask].astype(float) - true[mask]) ** 2).mean()
    pair = [torch.from_numpy(each.transpose(2, 0, 1)[None].astype(np.float32)) for each in (found, true)]
    _, local = structural_similarity_index_measure(*pair, data_range=255.0, return_full_image=True)
    return 10 * np.log10(255**2 / max(error, 1e-9)), float(local[0].mean(0).numpy()[mask].mean())


class Method(NamedTuple):
    mask: object
    fill: object
    fill_known: object  # fill, given the true mask


def measure(paths: list[Path], masks: Path, section: params.Hair) -> dict[str, dict]:
    """Measure each method on each image: method → measure → values by image."""

    methods = {
        "ours": Method(lambda rgb: remove.hair_mask(rgb, section), fill.fill_hair, fill.fill),
        "reference": Method(reference_mask, reference_fill, reference_fill),
    }
    seen: dict[str, dict] = {name: defaultdict(list) for name in methods}
    rng = np.random.default_rng(0)
    for i, path in enumerate(progress(paths, "hair", len(paths))):
        true = images.read_rgb(path)
        colour, width = list(COLOURS)[i % 3], WIDTHS[i // 3 % 5]
        hairy, where = draw_hairs(true, colour, width, rng.uniform(*COVER), rng)
        lesion = images.read_mask(masks / f"{path.stem}_segmentation.png")
        for name, method in methods.items():
            got = seen[name]
            restored = quality(method.fill_known(hairy, where), true, where)
            start = time.perf_counter()
            mask = method.mask(hairy)
            middle = time.perf_counter()
            removed = method.fill(hairy, mask)
            end = time.perf_counter()
            counts = (mask & where).sum(), mask.sum(), where.sum()
            got["psnr"].append(restored[0])
            got["ssim"].append(restored[1])
            got[f"end to end, {colour}"].append(quality(removed, true, where)[0])
            got["ms mask"].append(1000 * (middle - start))
            got["ms fill"].append(1000 * (end - middle))
            for key in (colour, f"{colour} {width}"):
                got[f"counts {key}"].append(counts)
            mask = method.mask(true)
            changed = (method.fill(true, mask) != true).any(axis=2) if mask.any() else mask
            got["harm"].append((changed & lesion).sum() / max(1, lesion.sum()))
            got["harmed"].append(bool((changed & lesion).any()))
    return seen


def detection(counts: list[tuple[int, int, int]]) -> tuple[float, float, float]:
    """Dice, precision and recall over all pixels, from counts of (hit, found, true) pixels by image."""
    hit, found, true = np.sum(counts, axis=0)
    return 2 * hit / (found + true), hit / max(1, found), hit / true


Row = tuple[str, str, str, str, str]  # what, ours, the reference's, the difference, the goal


def means(seen: dict[str, dict], key: str) -> tuple[float, float]:
    """Mean of the measure `key` for our method and for the reference."""
    return float(np.mean(seen["ours"][key])), float(np.mean(seen["reference"][key]))


def restoration(seen: dict[str, dict]) -> list[Row]:
    """PSNR and SSIM under the true mask, and PSNR of the whole method by hair colour."""
    rows = []
    for key, what, goal in [("psnr", "restoration under the true mask, PSNR", "+1 dB")] + [
        (f"end to end, {colour}", f"own mask, own fill, {colour} hair, PSNR", "") for colour in COLOURS
    ]:
        a, b = means(seen, key)
        rows.append((what, f"{a:.2f} dB", f"{b:.2f} dB", f"{a - b:+.2f} dB", goal))
    a, b = means(seen, "ssim")
    rows.insert(1, ("the same, SSIM", f"{a:.4f}", f"{b:.4f}", f"{a - b:+.4f}", "no worse"))
    return rows


def found_and_harmed(seen: dict[str, dict]) -> list[Row]:
    """Detection by hair colour, and changes of lesions without hair."""
    rows = []
    for colour, goal in zip(COLOURS, ("no worse", "", "far better"), strict=True):
        a, b = (detection(seen[name][f"counts {colour}"]) for name in ("ours", "reference"))
        told = [f"{dice:.3f} ({precision:.3f}, {recall:.3f})" for dice, precision, recall in (a, b)]
        rows.append((f"detection, {colour} hair: Dice (precision, recall)", *told, f"{a[0] - b[0]:+.3f}", goal))
    a, b = means(seen, "harm")
    rows.append(("changed pixels in the lesion, no hair drawn", f"{a:.3%}", f"{b:.3%}", f"1/{b / a:.0f}", "1/10"))
    a, b = means(seen, "harmed")
    return [*rows, ("images whose lesion is changed", f"{a:.0%}", f"{b:.0%}", "", "")]


def time_taken(seen: dict[str, dict]) -> list[Row]:
    """Milliseconds per image for mask, fill and both."""
    mask, fill = means(seen, "ms mask"), means(seen, "ms fill")
    rows = [
        (f"{what}, ms an image", f"{a:.1f}", f"{b:.1f}", "", "") for what, (a, b) in (("mask", mask), ("fill", fill))
    ]
    a, b = (x + y for x, y in zip(mask, fill, strict=True))
    return [*rows, ("mask and fill, ms an image", f"{a:.1f}", f"{b:.1f}", f"1/{b / a:.1f}", "1/8")]


def copy(path: Path) -> None:
    """Decode and encode an image: the time that every method needs."""
    images.encode(".jpg", images.read_rgb(path), remove.JPEG)


def all_images(paths: list[Path], section: params.Hair) -> tuple[float, float]:
    """Seconds for all images on all cores: hair removal with an empty cache, and decoding plus encoding alone."""

    with tempfile.TemporaryDirectory() as temporary:
        cache, out = Path(temporary) / "cache", Path(temporary) / "out"
        out.mkdir()
        index = pd.DataFrame({"path": map(str, paths), "sha256": map(sha256, paths)})
        start = time.perf_counter()
        for _ in parallel.for_each(copy, [(path,) for path in paths], "copy", len(paths)):
            pass
        middle = time.perf_counter()
        remove.remove_hair(index, section, cache, out)
        return time.perf_counter() - middle, middle - start


def main() -> None:
    cv2.setNumThreads(1)
    folder, real = data.images_folder()
    section = params.load("hair").hair
    every = sorted((folder / "images").glob("*.jpg"))
    paths = every
    if real:
        with Path(__file__).with_name("hairless.csv").open() as listed:
            paths = [folder / "images" / f"{row['image_id']}.jpg" for row in csv.DictReader(listed)]
    seen = measure(paths, folder / "masks", section)
    print(data.source(real, len(paths), "hairless images"), "Hairs drawn: 5 to 25 % cover, one thread.\n")
    rows = [*restoration(seen), *found_and_harmed(seen), *time_taken(seen)]
    removal, floor = all_images(every, section)
    what = f"all {len(every):,} images, all cores, decode to file"
    rows.append((what, f"{removal:.0f} s", f"decode + encode alone {floor:.0f} s", f"{removal / floor:.1f}", "60 s"))
    print(data.table(("", "ours", "reference", "ours against it", "goal"), rows))
    print("Dice (precision, recall) by width of the hair in pixels:\n")
    head = ("", *(f"{width} px" for width in WIDTHS))
    by_width = [
        (
            f"{colour}, {name}",
            *("{:.2f} ({:.2f}, {:.2f})".format(*detection(got[f"counts {colour} {width}"])) for width in WIDTHS),
        )
        for colour in COLOURS
        for name, got in seen.items()
    ]
    print(data.table(head, by_width))


if __name__ == "__main__":
    main()
