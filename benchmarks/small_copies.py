"""Move a real dataset to a machine that has neither DVC nor a network: small copies of its images, and its tables.

    python -m benchmarks.small_copies pack [--side PIXELS] FOLDER [COHORT=IMAGES:LABELS.csv ...]
    python -m benchmarks.small_copies unpack FOLDER TARGET

Pack in a project, after `dvc repro split remove_hair`; unpack there, into what benchmarks.ingredients then reads.
FOLDER gets part-0.zip, ...: the images, and those without hair, as WebP, as high as --side says and no higher than they
are; index.csv; split-home.csv.
A cohort of one's own is added to be measured on: a folder of .jpg files, which keep their hair, and a table with
image_id, lesion_id, dx, age, sex and localization. Trainings there differ slightly from those on the images themselves.
"""

import argparse
import zipfile
from functools import partial
from pathlib import Path

import cv2
import pandas as pd

from lesionbench import images
from lesionbench.core.files import read_csv
from lesionbench.core.parallel import for_each

SIDE, QUALITY = 224, 82  # pixels, and WebP's 0 to 100
PART = 28 * 2**20  # Bytes of images in one part.
COLUMNS = ["image_id", "lesion_id", "cohort", "dx", "age", "sex", "localization"]


def small(name: str, path: Path, side: int) -> tuple[str, bytes]:
    """An image, `side` pixels high or less, as WebP, with the name that it gets."""
    rgb = images.read_rgb(path)
    height, width = rgb.shape[:2]
    side = min(side, height)
    scaled = cv2.resize(rgb, (round(side * width / height), side), interpolation=cv2.INTER_AREA)
    return name, images.encode(".webp", scaled, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])


def tables(cohorts: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Index and split with the added cohorts, and each image's file."""
    index, split = read_csv("data/index.csv"), read_csv("data/split.csv")
    paths = [Path(path) for path in index["path"]]
    for told in cohorts:
        name, _, where = told.partition("=")
        folder, _, table = where.partition(":")
        added = pd.read_csv(table, dtype=str, keep_default_na=False).assign(cohort=name)
        paths += [Path(folder) / f"{image_id}.jpg" for image_id in added["image_id"]]
        index = pd.concat([index, added])
        split = pd.concat([split, added.assign(group_id=name + "_" + added["lesion_id"], split="external")])
    index = index[COLUMNS].assign(file=index["cohort"] + "-" + index["image_id"] + ".webp")
    return index, split[["image_id", "lesion_id", "group_id", *COLUMNS[2:], "split"]], paths


def pack(folder: Path, cohorts: list[str], side: int) -> None:
    """Write the parts into `folder`. The first part also has the tables."""
    index, split, paths = tables(cohorts)
    jobs = [(f"images/{name}", path) for name, path in zip(index["file"], paths, strict=True)]
    without = [Path("data/hairless") / f"{image_id}.jpg" for image_id in index["image_id"]]
    jobs += [(f"hairless/{name}", path) for name, path in zip(index["file"], without, strict=True) if path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    size, parts = PART + 1, 0
    for name, blob in for_each(partial(small, side=side), jobs, "small copies", len(jobs)):
        if size > PART:
            archive = zipfile.ZipFile(folder / f"part-{parts}.zip", "w")
            size, parts = 0, parts + 1
            if parts == 1:
                archive.writestr("index.csv", index.to_csv(index=False), zipfile.ZIP_DEFLATED)
                archive.writestr("split-home.csv", split.to_csv(index=False), zipfile.ZIP_DEFLATED)
        archive.writestr(name, blob)
        size += len(blob)
        if size > PART:
            archive.close()
    archive.close()
    for path in sorted(folder.glob("part-*.zip")):
        print(f"{path} {path.stat().st_size / 2**20:.1f} MiB")


def unpack(folder: Path, target: str) -> None:
    """Write images/, hairless/ and the tables into `target`."""
    for path in sorted(folder.glob("part-*.zip")):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["pack", "unpack"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("rest", nargs="*", metavar="COHORT=IMAGES:LABELS.csv or TARGET")
    parser.add_argument("--side", type=int, default=SIDE)
    given = parser.parse_intermixed_args()
    if given.what == "pack":
        pack(given.folder, given.rest, given.side)
    elif len(given.rest) == 1:
        unpack(given.folder, given.rest[0])
    else:
        parser.error("unpack needs FOLDER and TARGET")
