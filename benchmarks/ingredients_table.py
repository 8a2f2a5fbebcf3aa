"""Differences that each ingredient makes, from the logits that benchmarks/ingredients.py left in a folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks import data
from benchmarks.ingredients import BASE
from lesionbench import figures
from lesionbench.core.files import read_csv, write_csv
from lesionbench.core.tasks import classes_of
from lesionbench.evidence import leak_cost, predictions, rivals
from lesionbench.evidence.intervals import Draws
from lesionbench.evidence.lesions import lesions_behind

TASK, SAMPLES, COHORT, ANOTHER = "diagnosis", 1000, "isic2017", "another seed"
NO_IMAGE = "age, sex and site alone, no image"
SHOWN = ("balanced_accuracy", "roc_auc", "melanoma_roc_auc", "log_loss")
ELSEWHERE = SHOWN[2:3]  # an external cohort without some of the diagnoses has no score over all of them


def read(split: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Calibrated predictions with decisions, of the logits in a file."""
    stored = np.load(path)
    return _decided(split.iloc[stored["rows"]], stored["logits"].astype(float))


def rival(split: pd.DataFrame) -> pd.DataFrame:
    """Predictions without an image: a logistic regression of the training images' age, sex and site."""
    rows = split[split["split"].isin(predictions.SCORED)]
    return _decided(rows, rivals.from_metadata(split, rows, TASK))


def _decided(rows: pd.DataFrame, logits: np.ndarray) -> pd.DataFrame:
    table, *_ = predictions.calibrate(rows, logits, TASK)
    return predictions.decided(table, TASK, "balanced")


def parts(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of val, of test, and of each external cohort with its name, all of one order."""
    inside = {part: table[table["split"].eq(part)] for part in ("val", "test")}
    outside = table[table["split"].eq("external")]
    return inside | {str(name): rows for name, rows in outside.groupby("cohort")}


def measure(
    base: list[pd.DataFrame], own: list[pd.DataFrame], free: bool, shown: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Mean difference own - base over the seeds for each metric, its interval over lesions, and it by seed.

    Args:
        base, own: predictions by seed, all of the same images in the same order.
        free: whether lesions are drawn freely, as of an external cohort, and not within their class.
        shown: the metrics.
    """
    classes, first = classes_of(TASK), base[0]
    labels, lesions = first["label"].to_numpy(), first["group_id"].to_numpy()
    draws = Draws.make(lesions, None if free else labels, SAMPLES, 1)
    scores = [[leak_cost.score(t, draws.weights, classes, shown) for t in tables] for tables in (base, own)]
    found = []
    for metric in shown:
        by_seed = np.array([b[metric] - a[metric] for a, b in zip(*scores, strict=True)])
        melanoma = metric == "melanoma_roc_auc"
        behind = draws.fewer(labels == "mel") if melanoma else lesions_behind(metric, labels, lesions, free)
        told = draws.score("difference", by_seed.mean(axis=0), behind)
        low, high = told.get("difference_ci") or (np.nan, np.nan)
        of_base = float(np.mean([a[metric][0] for a in scores[0]]))
        row = {"metric": metric, "base": of_base, "difference": told["difference"], "low": low, "high": high}
        found.append({**row, "by_seed": " ".join(f"{value:+.4f}" for value in by_seed[:, 0])})
    return found


def _how(part: str) -> tuple[bool, tuple[str, ...]]:
    """Whether lesions are drawn freely, and which metrics there are."""
    outside = part not in ("val", "test")
    return outside, ELSEWHERE if outside else SHOWN


def compare(folder: Path, split_name: str, ingredients: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """All differences on one split: an ingredient (name → changes) against the base of the same seeds."""
    split, rows = read_csv(folder / f"split-{split_name}.csv"), []
    stored = {
        name: {path.stem: path for path in sorted((folder / "out" / name).glob(f"{split_name}-*.npz"))}
        for name in (BASE, *ingredients)
    }
    base = {seed: parts(read(split, path)) for seed, path in stored[BASE].items()}
    first, *others = base
    rivals = {
        NO_IMAGE: parts(rival(split)),
        **{f"{ANOTHER} ({seed.rpartition('-')[2]})": base[seed] for seed in others},
    }
    for name, own in rivals.items():
        for part in base[first]:
            for found in measure([base[first][part]], [own[part]], *_how(part)):
                rows.append({"split": split_name, "ingredient": name, "part": part, "seeds": 1, **found})
    for name, changes in ingredients.items():
        seeds = [seed for seed in stored[name] if seed in base]
        own = {seed: parts(read(split, stored[name][seed])) for seed in seeds}
        for part in base[seeds[0]] if seeds else ():
            if "hair.method" in changes and part == COHORT:
                continue  # its small copies keep their hair
            pairs = [base[seed][part] for seed in seeds], [own[seed][part] for seed in seeds]
            for found in measure(*pairs, *_how(part)):
                rows.append({"split": split_name, "ingredient": name, "part": part, "seeds": len(seeds), **found})
    return pd.DataFrame(rows)


# Panel → part and metric.
PANELS = {
    "macro AUC, validation": ("val", "roc_auc"),
    "AUC of melanoma, validation": ("val", "melanoma_roc_auc"),
    "AUC of melanoma, other clinics": (COHORT, "melanoma_roc_auc"),
}


@figures.styled
def draw(table: pd.DataFrame, title: str) -> Figure:
    """Draw the differences of each ingredient with their intervals, a panel for each of PANELS; · n: trainings."""
    figure, axes = figures.new(11, 6.4, 1, len(PANELS), sharey=True)
    seeds = table.groupby("ingredient", sort=False)["seeds"].first()
    order = {name: place for place, name in enumerate(seeds.index)}
    for ax, (panel, (part, metric)) in zip(axes, PANELS.items(), strict=True):
        rows = table[table["part"].eq(part) & table["metric"].eq(metric)]
        reach = [rows["difference"] - rows["low"], rows["high"] - rows["difference"]]
        ax.axvline(0, color="0.6", linewidth=1)
        ax.errorbar(rows["difference"], rows["ingredient"].map(order), xerr=reach, fmt="o", markersize=4, capsize=2)
        ax.set_title(panel, fontsize=9)
    axes[1].set_xlabel("difference to the base, with its 95 % interval over lesions")
    axes[0].set_yticks(list(order.values()), [f"{name} · {n}" for name, n in seeds.items()])
    axes[0].invert_yaxis()
    figure.suptitle(title, fontsize=10, fontweight="bold")
    return figure


def write(folder: Path, spec: dict[str, Any], target: Path) -> None:
    """Write `target`, a .csv, and the .svg beside it, and print the main columns as Markdown."""
    table = pd.concat([compare(folder, split_name, spec["ingredients"]) for split_name in spec["splits"]])
    write_csv(target, table.round(4))
    home = table[table["split"].eq(spec["splits"][0]) & table["ingredient"].ne(NO_IMAGE)]
    size, epochs = spec["base"]["pixels.size"], spec["base"]["train.epochs"]
    title = f"Each ingredient alone: {spec['base']['backbones'][0]}, {size} px, {epochs} epochs · number of trainings"
    figures.save(draw(home, title), target.with_suffix(".svg"))
    wanted = [*PANELS.values(), ("test", "roc_auc"), ("test", "melanoma_roc_auc")]
    rows = []
    for (split_name, name), of in table.groupby(["split", "ingredient"], sort=False):
        cells = {
            (row.part, row.metric): f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
            for row in of.itertuples()
        }
        logs = [json.loads(path.read_text()) for path in (folder / "out" / str(name)).glob(f"{split_name}-*.json")]
        seconds = f"{np.mean([log['seconds'] for log in logs]):.0f}" if logs else ""
        rows.append((split_name, name, of["seeds"].iloc[0], *(cells.get(each, "") for each in wanted), seconds))
    print(data.table(("split", "", "seeds", *(" ".join(each) for each in wanted), "seconds"), rows))
