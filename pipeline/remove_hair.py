"""Find and fill hair in every image; write those that have any."""

from lesionbench import errors  # isort: skip

from pathlib import Path

import numpy as np
import pandas as pd

from lesionbench import figures, files, hair, params, schemas
from lesionbench.images import in_processes, read_mask, read_rgb, square

FOLDER = Path("data/hairless")
SHOWN = 4


def main() -> None:
    section = params.load("hair").hair.model_dump()
    FOLDER.mkdir(parents=True, exist_ok=True)
    index = files.read_csv("data/index.csv")
    cache = files.cache_dir("hair")
    arguments = [
        (Path(path), content, section, cache, FOLDER)
        for path, content in zip(index["path"], index["sha256"], strict=True)
    ]
    with files.alone(cache):
        for leftover in cache.rglob(".*.partial*"):
            leftover.unlink()
        coverage = list(in_processes(hair.remove_hair_from_file, arguments, "remove hair"))
    table = index[["image_id"]].assign(coverage=np.round(coverage, 6))
    files.write_csv("data/hair.csv", schemas.check("hair", table))
    files.write_json("metrics/hair.json", summarise(index, table["coverage"], section))
    figures.save(sheet(index, table, section), Path("reports/hair.png"))


def summarise(index: pd.DataFrame, coverage: pd.Series, section: dict) -> dict[str, object]:
    found: dict[str, object] = {
        "images": len(index),
        "with_hair": int((coverage > 0).sum()),
        "mean_coverage": round(float(coverage.mean()), 6),
    }
    truth = Path("data/raw/hair_masks")
    if truth.is_dir():
        known = index[index["image_id"].map(lambda image_id: (truth / f"{image_id}.png").exists())]
        found["detection"] = hair.detection_scores(
            (hair.hair_mask(read_rgb(path), section), read_mask(truth / f"{image_id}.png"))
            for image_id, path in zip(known["image_id"], known["path"], strict=True)
        )
    return found


def sheet(index: pd.DataFrame, table: pd.DataFrame, section: dict) -> figures.Figure:
    """Before, mask and after for the hairiest images and for some at random."""
    hairiest = table.sort_values(["coverage", "image_id"], ascending=[False, True])["image_id"].head(SHOWN)
    others = table[table["coverage"].gt(0)].sort_values("image_id")["image_id"]
    random = others.iloc[np.linspace(0, len(others) - 1, SHOWN).round().astype(int)] if len(others) else others
    images, titles = [], []
    for kind, image_id in [("hairiest", i) for i in hairiest] + [("any", i) for i in random]:
        before = read_rgb(index.set_index("image_id")["path"][image_id])
        mask = hair.hair_mask(before, section)
        after = hair.fill_hair(before, mask)
        images.append([square(each, 192) for each in (before, mask.astype(np.uint8) * 255, after)])
        titles.append([f"{image_id} ({kind})", f"hair on {mask.mean():.1%}", "filled"])
    pairs = [images[i] + images[i + SHOWN] for i in range(min(SHOWN, len(images) - SHOWN))]
    names = [titles[i] + titles[i + SHOWN] for i in range(len(pairs))]
    title = f"Hair removal: {int(table['coverage'].gt(0).sum())} of {len(table)} images have hair found"
    return figures.sheet(pairs or images, names or titles, title, width=9)


if __name__ == "__main__":
    errors.run(main)
