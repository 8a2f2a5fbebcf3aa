"""Hair removal against the usual DullRazor notebook: restoration, detection, harm and time.

Synthetic hairs of known place are drawn over images that have none: benchmarks/hairless.csv, picked by eye.
"""

import csv
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from benchmarks import data
from lesionbench import hair, images, params
from lesionbench.files import read_yaml, sha256
from lesionbench.progress import progress

COLOURS = {"dark": (38, 30, 28), "brown": (100, 70, 52), "light": (236, 222, 196)}
WIDTHS = (1, 2, 3, 4, 5)
COVER = 0.05, 0.25
FINER = 4  # hairs are drawn so many times larger, for soft edges
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (17, 17))


def reference_mask(rgb: np.ndarray) -> np.ndarray:
    """DullRazor as notebooks have it: a 17x17 cross black-hat on grey, threshold 10."""
    black_hat = cv2.morphologyEx(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.MORPH_BLACKHAT, CROSS)
    return black_hat >= 10


def reference_fill(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """... and TELEA with radius 6."""
    return cv2.inpaint(rgb, mask.astype(np.uint8), 6, cv2.INPAINT_TELEA)


def draw_hairs(rgb: np.ndarray, colour: str, width: int, cover: float, rng: np.random.Generator) -> tuple:
    """The image under bent hairs that cover a share `cover` of it, and where they are (5 % of a pixel count)."""
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
    """PSNR in dB and mean SSIM, of the pixels under `mask`."""
    error = ((found[mask].astype(float) - true[mask]) ** 2).mean()
    pair = [torch.from_numpy(each.transpose(2, 0, 1)[None].astype(np.float32)) for each in (found, true)]
    _, local = structural_similarity_index_measure(*pair, data_range=255.0, return_full_image=True)
    return 10 * np.log10(255**2 / max(error, 1e-9)), float(local[0].mean(0).numpy()[mask].mean())


class Method(NamedTuple):
    mask: object
    fill: object
    fill_known: object  # given the true mask


def measure(paths: list[Path], masks: Path, section: dict) -> dict[str, dict]:
    """Means of what each method did to each image, by method and by what was measured."""
    from lesionbench import inpaint

    methods = {
        "ours": Method(lambda rgb: hair.hair_mask(rgb, section), hair.fill_hair, inpaint.fill),
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
    """Dice, precision, recall over all pixels."""
    hit, found, true = np.sum(counts, axis=0)
    return 2 * hit / (found + true), hit / max(1, found), hit / true


def all_images(paths: list[Path], section: dict) -> tuple[float, float]:
    """Seconds for all images on all cores: hair removal from an empty cache to files, and decode and encode alone."""

    def copy(path: Path) -> None:
        images.encode(".jpg", images.read_rgb(path), hair.JPEG)

    seconds = []
    with tempfile.TemporaryDirectory() as temporary:
        cache, out = Path(temporary) / "cache", Path(temporary) / "out"
        out.mkdir()
        jobs = [(path, sha256(path), section, cache, out) for path in paths]
        for function, arguments in ((copy, [(path,) for path in paths]), (hair.remove_hair_from_file, jobs)):
            start = time.perf_counter()
            for _ in images.for_each(function, arguments, function.__name__, len(paths)):
                pass
            seconds.append(time.perf_counter() - start)
    return seconds[1], seconds[0]


def main() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    folder, real = data.images_folder()
    section = params.Hair(**read_yaml("params.yaml")["hair"]).model_dump()
    every = sorted((folder / "images").glob("*.jpg"))
    paths = every
    if real:
        with Path(__file__).with_name("hairless.csv").open() as listed:
            paths = [folder / "images" / f"{row['image_id']}.jpg" for row in csv.DictReader(listed)]
    seen = measure(paths, folder / "masks", section)
    ours, usual = seen["ours"], seen["reference"]
    mean = {name: {key: np.mean(values) for key, values in got.items()} for name, got in seen.items()}
    print(data.source(real, len(paths), "hairless images"), "Hairs drawn: 5 to 25 % cover, one thread.\n")
    a, b = mean["ours"], mean["reference"]
    total = {name: got["ms mask"] + got["ms fill"] for name, got in mean.items()}
    rows = [
        (
            "restoration under the true mask, PSNR",
            f"{a['psnr']:.2f} dB",
            f"{b['psnr']:.2f} dB",
            f"{a['psnr'] - b['psnr']:+.2f} dB",
            "+1 dB",
        ),
        ("the same, SSIM", f"{a['ssim']:.4f}", f"{b['ssim']:.4f}", f"{a['ssim'] - b['ssim']:+.4f}", "no worse"),
    ]
    for colour in COLOURS:
        x, y = (got[f"end to end, {colour}"] for got in (a, b))
        rows.append((f"own mask, own fill, {colour} hair, PSNR", f"{x:.2f} dB", f"{y:.2f} dB", f"{x - y:+.2f} dB", ""))
    for colour, goal in zip(COLOURS, ("no worse", "", "far better"), strict=True):
        x, y = (detection(got[f"counts {colour}"]) for got in (ours, usual))
        rows.append(
            (
                f"detection, {colour} hair: Dice (precision, recall)",
                *(f"{d:.3f} ({p:.3f}, {r:.3f})" for d, p, r in (x, y)),
                f"{x[0] - y[0]:+.3f}",
                goal,
            )
        )
    rows += [
        (
            "changed pixels in the lesion, no hair drawn",
            f"{a['harm']:.3%}",
            f"{b['harm']:.3%}",
            f"1/{b['harm'] / a['harm']:.0f}",
            "1/10",
        ),
        ("images whose lesion is changed", f"{a['harmed']:.0%}", f"{b['harmed']:.0%}", "", ""),
        ("mask, ms an image", f"{a['ms mask']:.1f}", f"{b['ms mask']:.1f}", "", ""),
        ("fill, ms an image", f"{a['ms fill']:.1f}", f"{b['ms fill']:.1f}", "", ""),
        (
            "mask and fill, ms an image",
            f"{total['ours']:.1f}",
            f"{total['reference']:.1f}",
            f"1/{total['reference'] / total['ours']:.1f}",
            "1/8",
        ),
    ]
    removal, floor = all_images(every, section)
    rows.append(
        (
            f"all {len(every):,} images, all cores, decode to file",
            f"{removal:.0f} s",
            f"decode + encode alone {floor:.0f} s",
            f"{removal / floor:.1f}",
            "60 s",
        )
    )
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
