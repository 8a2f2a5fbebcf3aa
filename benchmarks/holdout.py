"""What it costs to have never seen a clinic: one network saw its images in training, the other did not.

    python -m benchmarks.holdout FOLDER SOURCE ...     # prints a table, a line for each source and ingredient

FOLDER is that of benchmarks.ingredients, after `train` with `splits: [home, SOURCE, ...]`. split-SOURCE.csv is
data/split.csv of a project with `split.holdout_source: SOURCE`. Both networks are scored on the same images: those of
the source that are in the test part of split-home.csv. Each is calibrated on the validation images of its own split.
Intervals draw all lesions of the source freely, because no split sets how many of them are melanomas.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import data
from benchmarks.ingredients_table import SAMPLES, TASK, measure, read
from lesionbench.core.files import read_csv
from lesionbench.core.tasks import classes_of
from lesionbench.evidence import leak_cost
from lesionbench.evidence.intervals import Draws

AREA = "melanoma_roc_auc"


def scored(folder: Path, trained: Path) -> pd.DataFrame:
    """Calibrated predictions of a training's test images, by image_id."""
    split = read_csv(folder / f"split-{trained.stem.rpartition('-')[0]}.csv")
    table = read(split, trained)
    return table[table["split"].eq("test")].set_index("image_id")


def cost(seen: pd.DataFrame, never: pd.DataFrame) -> tuple[dict[str, float], pd.DataFrame]:
    """The area with the clinic seen (`base`), never minus seen (`difference`, `low`, `high`), and the images of both.

    Args:
        seen, never: test images by image_id. `never` has those of the held-out source alone.
    """
    both = seen.index.intersection(never.index)
    pair = [table.loc[both].assign(group_id=seen.loc[both, "group_id"]) for table in (seen, never)]
    return measure(pair[:1], pair[1:], True, (AREA,))[0], pair[0]


def area(table: pd.DataFrame) -> str:
    """The area with its interval over lesions."""
    labels = table["label"].to_numpy()
    draws = Draws.make(table["group_id"].to_numpy(), None, SAMPLES, 1)
    values = leak_cost.score(table, draws.weights, classes_of(TASK), (AREA,))[AREA]
    told = draws.score("of", values, draws.fewer(labels == "mel"), 0, 1)
    return told_with(told["of"], *(told.get("of_ci") or (np.nan, np.nan)))


def told_with(value: float, low: float, high: float) -> str:
    """A number and its interval, which rests on ten melanoma lesions or more."""
    return f"{value:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(low) else f"{value:.3f}, too few to say"


def main(folder: Path, sources: list[str]) -> None:
    """Print the table."""
    rows = []
    for source in sources:
        for trained in sorted((folder / "out").glob(f"*/{source}-*.npz")):
            home = trained.with_name(f"home-{trained.name.rpartition('-')[2]}")
            never = scored(folder, trained)
            found, images = cost(scored(folder, home), never)
            melanoma = images["label"].eq("mel")
            counts = f"{len(images)}, {melanoma.sum()}, {images.loc[melanoma, 'group_id'].nunique()}"
            told = told_with(*(-found[name] for name in ("difference", "high", "low")))
            values = f"{found['base']:.3f}", f"{found['base'] + found['difference']:.3f}"
            rows.append((source, trained.parent.name, counts, *values, told, area(never)))
    head = (
        "source",
        "network",
        "images, melanomas, their lesions",
        "seen",
        "never seen",
        "cost",
        "all of it, never seen",
    )
    print(data.table(head, rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
