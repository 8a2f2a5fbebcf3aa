"""The cost of a leak: scores of splits by image and by lesion, on test images with and without siblings."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lesionbench import figures
from lesionbench.core.tasks import melanoma_column, numbers
from lesionbench.evidence import names
from lesionbench.evidence.intervals import interval, resample_groups
from lesionbench.evidence.metrics import compute
from lesionbench.evidence.predictions import probabilities
from lesionbench.evidence.ranks import weighted_roc_auc

METRICS = {
    "balanced_accuracy": names.METRICS["balanced_accuracy"].label,
    "roc_auc": f"{names.METRICS['roc_auc'].label} (macro)",
    "average_precision": f"{names.METRICS['average_precision'].label} (macro)",
    "melanoma_roc_auc": f"{names.METRICS['roc_auc'].label}, melanoma against the rest",
}
IMAGES = {"all": "all", "sibling": "lesion photographed several times", "alone": "lesion photographed once"}
COLUMNS = ["scheme", "images", "metric", "n", "mean", "low", "high", "min", "max", "seeds"]


class Run(NamedTuple):
    """One training: its split.scheme, the test rows of its predictions with decisions, and its data/split.csv."""

    scheme: str
    test: pd.DataFrame
    split: pd.DataFrame


def kinds(test: pd.DataFrame, split: pd.DataFrame, scheme: str) -> dict[str, np.ndarray]:
    """Which rows of `test` belong to each of IMAGES, bool (n,).

    `alone`: images of lesions with one image. `sibling`: images of lesions with several. In a split by image, `sibling`
    needs another image of the lesion in train. The lesion split's `sibling` images are the same kind without a leak.
    """
    used = split[split["split"].isin(["train", "val", "test"])]
    several = test["group_id"].isin(used.loc[used["group_id"].duplicated(), "group_id"]).to_numpy()
    in_train = test["group_id"].isin(used.loc[used["split"].eq("train"), "group_id"]).to_numpy()
    return {
        "all": np.ones(len(test), bool),
        "sibling": several & in_train if scheme == "image" else several,
        "alone": ~several,
    }


def measure(runs: Sequence[Run], classes: Sequence[str], samples: int, seed: int) -> pd.DataFrame:
    """Means over the trainings of each scheme, with intervals, and the differences image - lesion.

    Args:
        runs: trainings of both schemes. Their test rows have group_id, label, p_<class> and called (class number).
        classes: classes of the task diagnosis.
        samples: number of resamples of lesions. All trainings share the resamples, because their test splits overlap.
        seed: seed of the resamples.

    Returns:
        Columns COLUMNS. n is the mean number of test images. `low` and `high` bound the 95 % interval of the mean over
        resamples of lesions; `min` and `max` over the trainings show the effect of the seed. The scheme
        "image - lesion" has the differences. Its images "sibling - alone" tell how much more siblings gain than other
        images, which is the effect of the leak itself. Values are missing where a class is missing.
    """
    every = weigh([run.test for run in runs], samples, seed)
    scores: dict[tuple[str, str, str], list[np.ndarray]] = {}
    sizes: dict[tuple[str, str], list[int]] = {}
    for run, weights in zip(runs, every, strict=True):
        for images, chosen in kinds(run.test, run.split, run.scheme).items():
            sizes.setdefault((run.scheme, images), []).append(int(chosen.sum()))
            for metric, values in score(run.test[chosen], weights[:, chosen], classes).items():
                scores.setdefault((run.scheme, images, metric), []).append(values)
    means = {key: np.mean(values, axis=0) for key, values in scores.items()}
    rows = [
        (
            *key,
            round(np.mean(sizes[key[:2]])),
            *_summary(means[key]),
            *(f([v[0] for v in values]) for f in (min, max)),
            len(values),
        )
        for key, values in scores.items()
    ]
    for metric in METRICS:
        gains = {images: means["image", images, metric] - means["lesion", images, metric] for images in IMAGES}
        gains["sibling - alone"] = gains["sibling"] - gains["alone"]
        rows += [
            ("image - lesion", images, metric, None, *_summary(gain), None, None, None)
            for images, gain in gains.items()
        ]
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64", "seeds": "Int64"})
    order = {name: i for i, name in enumerate(["lesion", "image", "image - lesion"])}
    return table.sort_values("scheme", key=lambda s: s.map(order), kind="stable").round(4).reset_index(drop=True)


def weigh(tests: Sequence[pd.DataFrame], samples: int, seed: int) -> list[np.ndarray]:
    """Weights of the rows of each table in the same resamples of lesions, float (1 + samples, n) per table.

    The first weighting counts every row once. The tables have columns group_id and label.
    """
    lesions = pd.concat([test[["group_id", "label"]] for test in tests]).drop_duplicates("group_id")
    draws = resample_groups(lesions["group_id"].to_numpy(), lesions["label"].to_numpy(), samples, seed)
    draws = np.vstack([np.ones((1, len(lesions))), draws])
    column = pd.Series(np.arange(len(lesions)), index=lesions["group_id"])
    return [draws[:, column[test["group_id"]]] for test in tests]


def score(
    test: pd.DataFrame, weights: np.ndarray, classes: Sequence[str], wanted: Iterable[str] = METRICS
) -> dict[str, np.ndarray]:
    """The metrics `wanted`, each float (k,), of rows as in `measure`, under k weightings (k, n)."""
    if test.empty:
        return {metric: np.full(len(weights), np.nan) for metric in wanted}
    p, labels, mel = probabilities(test, classes), numbers(test["label"], classes), melanoma_column(classes)
    found = compute(p, labels, weights, test["called"].to_numpy())
    found["melanoma_roc_auc"] = weighted_roc_auc(p[:, mel], labels == mel, weights)
    return {metric: found[metric] for metric in wanted}


def _summary(values: np.ndarray) -> tuple[float, float, float]:
    """The first value, and the interval of the others, missing where `interval` gives none."""
    low, high = (interval(values[1:]) if np.isfinite(values[0]) else None) or (np.nan, np.nan)
    return float(values[0]), low, high


@figures.styled
def draw(table: pd.DataFrame, title: str) -> Figure:
    """Draw one panel per metric: both schemes side by side, with intervals, for each kind of images."""
    figure, axes = figures.new(9, 5.6, 2, 2)
    for ax, (metric, name) in zip(axes, METRICS.items(), strict=True):
        for i, (scheme, marker) in enumerate({"lesion": "o", "image": "s"}.items()):
            rows = table[table["scheme"].eq(scheme) & table["metric"].eq(metric)].set_index("images").loc[list(IMAGES)]
            y = np.arange(len(IMAGES)) + 0.24 * i - 0.12
            reach = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
            ax.errorbar(
                rows["mean"], y, xerr=reach, fmt=marker, linestyle="none", capsize=3, label=f"split by {scheme}"
            )
        ax.set_yticks(range(len(IMAGES)), IMAGES.values())
        ax.invert_yaxis()
        ax.set(xlabel=name)
    axes[0].legend(fontsize=8, loc="best")
    figure.suptitle(title, fontsize=10, fontweight="bold")
    return figure
