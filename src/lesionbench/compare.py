"""What needs all backbones at once: paired differences, their ensemble, and the data of the curves."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lesionbench import figures
from lesionbench.errors import UserError
from lesionbench.metrics import ECE_BINS, compute, evaluate, interval, resample_groups
from lesionbench.tasks import numbers

COMPARED = ("balanced_accuracy", "roc_auc", "average_precision", "recall", "log_loss")
CURVE_POINTS = 201


def check_alike(tables: Mapping[str, pd.DataFrame]) -> None:
    """Raise UserError unless all tables of predictions are of the same images in the same order."""
    first, *others = tables
    for other in others:
        if not tables[first][["image_id", "split", "label"]].equals(tables[other][["image_id", "split", "label"]]):
            raise UserError(f"predictions of {first} and {other} are not of the same images; run `dvc repro`")


def probabilities(table: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Calibrated probabilities, float (n, classes), of the columns p_<class>."""
    return table[[f"p_{name}" for name in classes]].to_numpy(float)


def paired_differences(
    tables: Mapping[str, pd.DataFrame], classes: Sequence[str], samples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """For each pair "a - b" of backbones and each metric COMPARED: the difference and its 95 % interval.

    Both backbones are scored on the same resamples of groups, so that what is common to them cancels out.
    """
    first = next(iter(tables.values()))
    labels, groups = numbers(first["label"], classes), first["group_id"].to_numpy()
    draws = np.vstack([np.ones((1, len(labels))), resample_groups(groups, labels, samples, seed)])
    scores = {name: compute(probabilities(table, classes), labels, draws) for name, table in tables.items()}
    found: dict[str, dict[str, Any]] = {}
    for a, b in combinations(tables, 2):
        pair: dict[str, Any] = {}
        found[f"{a} - {b}"] = pair
        for metric in COMPARED:
            difference = scores[a][metric] - scores[b][metric]
            defined = not np.isnan(difference[0])
            pair[metric] = float(difference[0]) if defined else None
            if defined and samples:
                pair[f"{metric}_ci"] = interval(difference[1:][~np.isnan(difference[1:])])
    return found


def ensemble(tables: Mapping[str, pd.DataFrame], classes: Sequence[str], samples: int, seed: int) -> dict[str, Any]:
    """Metrics of the mean of the backbones' calibrated probabilities on test."""
    first = next(iter(tables.values()))
    mean = np.mean([probabilities(table, classes) for table in tables.values()], axis=0)
    groups = first["group_id"].to_numpy()
    return evaluate(mean, numbers(first["label"], classes), groups, classes, samples, seed)


def _one_against_rest(table: pd.DataFrame, classes: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    p, labels = probabilities(table, classes), numbers(table["label"], classes)
    scored = [1] if len(classes) == 2 else range(len(classes))
    return [(p[:, c], labels == c) for c in scored if (labels == c).any() and not (labels == c).all()]


def roc_curves(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """ROC curve of each backbone: columns backbone, fpr, tpr; of class 1 of two, the macro average of more."""
    from sklearn.metrics import roc_curve

    grid = np.linspace(0, 1, CURVE_POINTS)
    rows = []
    for backbone, table in tables.items():
        curves = [roc_curve(positive, p) for p, positive in _one_against_rest(table, classes)]
        tpr = np.mean([np.interp(grid, fpr, tpr) for fpr, tpr, _ in curves], axis=0) if curves else []
        rows += [(backbone, x, y) for x, y in zip(grid, np.append(0, tpr[1:]), strict=True)] if curves else []
    return pd.DataFrame(rows, columns=["backbone", "fpr", "tpr"]).round(6)


def precision_recall_curves(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """Precision at each recall: columns backbone, recall, precision; averaged over the classes as in roc_curves.

    Precision at recall r is that of the highest threshold which reaches r (no interpolation between points).
    """
    from sklearn.metrics import precision_recall_curve

    grid = np.linspace(0, 1, CURVE_POINTS)[1:]
    rows = []
    for backbone, table in tables.items():
        at_recall = []
        for p, positive in _one_against_rest(table, classes):
            precision, recall, _ = precision_recall_curve(positive, p)
            at_recall.append(precision[::-1][np.searchsorted(recall[::-1], grid - 1e-9)])
        if at_recall:
            rows += [(backbone, x, y) for x, y in zip(grid, np.mean(at_recall, axis=0), strict=True)]
    return pd.DataFrame(rows, columns=["backbone", "recall", "precision"]).round(6)


def confusion(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """One row an image and backbone: columns backbone, actual, predicted, as DVC's confusion template wants it."""
    names = np.array(classes)
    parts = [
        pd.DataFrame({"backbone": backbone, "actual": table["label"], "predicted": names[p.argmax(axis=1)]})
        for backbone, table in tables.items()
        for p in [probabilities(table, classes)]
    ]
    return pd.concat(parts, ignore_index=True)


def calibration(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """Reliability of the predicted class by bins of confidence: columns backbone, confidence, accuracy, n."""
    parts = []
    for backbone, table in tables.items():
        p, labels = probabilities(table, classes), numbers(table["label"], classes)
        each = pd.DataFrame({"confidence": p.max(axis=1), "accuracy": p.argmax(axis=1) == labels})
        bins = np.minimum((each["confidence"] * ECE_BINS).astype(int), ECE_BINS - 1)
        grouped = each.groupby(bins).agg(
            confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), n=("accuracy", "size")
        )
        parts.append(grouped.assign(backbone=backbone))
    return pd.concat(parts)[["backbone", "confidence", "accuracy", "n"]].round(6)


def with_interval(scores: Mapping[str, Any], metric: str) -> str:
    """A metric of an evaluation as "0.91 [0.88, 0.93]"; "undefined" where it is null."""
    if scores[metric] is None:
        return "undefined"
    low_high = scores.get(f"{metric}_ci")
    return f"{scores[metric]:.2f}" + (f" [{low_high[0]:.2f}, {low_high[1]:.2f}]" if low_high else "")


NAMES = {
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "ece": "ECE",
    "balanced_accuracy": "balanced accuracy",
}

TITLES = {"roc": "ROC", "precision_recall": "Precision and recall", "calibration": "Calibration"}


@figures.styled
def draw_lines(table: pd.DataFrame, x: str, y: str, title: str, names: Mapping[str, str], diagonal: bool) -> Figure:
    """One line a backbone of column `y` over `x`, both 0 to 1; `names` are the legend's, by backbone."""
    figure, (ax,) = figures.new(5.2, 4.6)
    if diagonal:
        ax.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1)
    markers: dict[str, Any] = {"marker": "o", "markersize": 3} if y == "accuracy" else {}
    for backbone, line in table.groupby("backbone", sort=False):
        ax.plot(line[x], line[y], label=names[str(backbone)], **markers)
    ax.set(xlabel=LABELS[x], ylabel=LABELS[y], title=title, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    ax.legend(fontsize=8)
    return figure


LABELS = {
    "fpr": "false positive rate (1 - specificity)",
    "tpr": "true positive rate (sensitivity)",
    "recall": "recall (sensitivity)",
    "precision": "precision (positive predictive value)",
    "confidence": "mean confidence in the predicted class",
    "accuracy": "share of correct predictions",
}


@figures.styled
def draw_confusion(table: pd.DataFrame, classes: Sequence[str], title: str) -> Figure:
    """One matrix a backbone: counts, shaded by the share of the row (the actual class)."""
    backbones = list(table["backbone"].unique())
    columns = min(3, len(backbones))
    rows = -(-len(backbones) // columns)
    figure, axes = figures.new(3.6 * columns + 0.4, 3.6 * rows + 0.5, rows, columns)
    for ax, backbone in zip(axes, backbones, strict=False):
        own = table[table["backbone"].eq(backbone)]
        counts = (
            pd.crosstab(own["actual"], own["predicted"]).reindex(list(classes), axis=0).reindex(list(classes), axis=1)
        )
        counts = counts.fillna(0).astype(int)
        shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0).to_numpy()
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, j in np.ndindex(shares.shape):
            colour = "white" if shares[i, j] > 0.55 else "black"
            ax.text(j, i, str(counts.iloc[i, j]), ha="center", va="center", color=colour, fontsize=8)
        ax.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        ax.set_yticks(range(len(classes)), classes)
        ax.set(title=str(backbone), xlabel="predicted", ylabel="actual")
        ax.grid(visible=False)
    for ax in axes[len(backbones) :]:
        figures.blank(ax)
    figure.suptitle(title, fontsize=10, fontweight="bold")
    return figure


@figures.styled
def draw_learning(histories: Mapping[str, Sequence[Mapping[str, float]]], monitor: str, title: str) -> Figure:
    """Loss and the monitored metric by epoch, one line a backbone: train loss dashed, validation solid."""
    figure, (left, right) = figures.new(8.4, 3.4, 1, 2)
    for i, (backbone, rows) in enumerate(histories.items()):
        colour = figures.COLOURS[i % len(figures.COLOURS)]
        epochs = [row["epoch"] + 1 for row in rows]
        left.plot(epochs, [row["train_loss"] for row in rows], color=colour, linestyle="--", marker=".")
        left.plot(epochs, [row["val_loss"] for row in rows], color=colour, linestyle="-", marker=".", label=backbone)
        right.plot(epochs, [row[f"val_{monitor}"] for row in rows], color=colour, linestyle="-", marker=".")
    # A network that starts from nothing can open with a loss of hundreds, which would flatten all that follows.
    left.set(xlabel="epoch", ylabel="loss (train dashed, val solid)", title=f"{title}: loss", yscale="log")
    right.set(xlabel="epoch", ylabel=f"val {NAMES.get(monitor, monitor)}", title=f"{title}: monitor")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(fontsize=8)
    return figure
