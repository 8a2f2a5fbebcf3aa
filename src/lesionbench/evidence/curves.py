"""ROC, precision-recall, calibration, confusion and learning curves of all backbones: data and figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lesionbench import figures
from lesionbench.core.tasks import numbers
from lesionbench.evidence.metrics import ECE_BINS
from lesionbench.evidence.names import METRICS
from lesionbench.evidence.predictions import probabilities

CURVE_POINTS = 201  # Points from 0 to 1.


def tabulate(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return figure name → its data. `tables` maps each backbone to its predictions on the test split."""
    return {
        "roc": roc_curves(tables, classes),
        "precision_recall": precision_recall_curves(tables, classes),
        "confusion": confusion(tables, classes),
        "calibration": calibration(tables, classes),
    }


def _one_against_rest(table: pd.DataFrame, classes: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    p, labels = probabilities(table, classes), numbers(table["label"], classes)
    scored = [1] if len(classes) == 2 else range(len(classes))
    return [(p[:, c], labels == c) for c in scored if (labels == c).any() and not (labels == c).all()]


def roc_curves(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """ROC curve of each backbone: columns backbone, fpr, tpr; of class 1 if there are two, else the macro average."""
    from sklearn.metrics import roc_curve

    grid = np.linspace(0, 1, CURVE_POINTS)
    rows = []
    for backbone, table in tables.items():
        curves = [roc_curve(positive, p) for p, positive in _one_against_rest(table, classes)]
        tpr = np.mean([np.interp(grid, fpr, tpr) for fpr, tpr, _ in curves], axis=0) if curves else []
        rows += [(backbone, x, y) for x, y in zip(grid, np.append(0, tpr[1:]), strict=True)] if curves else []
    return pd.DataFrame(rows, columns=["backbone", "fpr", "tpr"]).round(6)


def precision_recall_curves(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """Precision at each recall: columns backbone, recall, precision. Classes are averaged as in roc_curves.

    Precision at recall r is taken at the highest threshold that reaches r, without interpolation.
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
    """One row per image and backbone: columns backbone, actual, predicted, as DVC's confusion template expects."""
    names = np.array(classes)
    parts = [
        pd.DataFrame({"backbone": backbone, "actual": table["label"], "predicted": names[p.argmax(axis=1)]})
        for backbone, table in tables.items()
        for p in [probabilities(table, classes)]
    ]
    return pd.concat(parts, ignore_index=True)


def calibration(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """Reliability of the predicted class by ECE_BINS bins of confidence: columns backbone, confidence, accuracy, n."""
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


def draw(
    data: Mapping[str, pd.DataFrame], classes: Sequence[str], scores: Mapping[str, Mapping[str, Any]]
) -> dict[str, Figure]:
    """Draw the data of `tabulate`. The legends show each backbone's score with its interval.

    Args:
        data: result of `tabulate`.
        classes: the task's classes.
        scores: backbone → result of `metrics.evaluate` on the same images.
    """
    what = "melanoma" if len(classes) == 2 else f"macro average of {len(classes)} diagnoses"
    n = f"test, n = {next(iter(scores.values()))['n']} images"
    drawn = {}
    for name, x, y, metric in (
        ("roc", "fpr", "tpr", "roc_auc"),
        ("precision_recall", "recall", "precision", "average_precision"),
        ("calibration", "confidence", "accuracy", "ece"),
    ):
        title = f"{TITLES[name]}: {what}\n{n}; {METRICS[metric].label} with 95 % interval"
        legend = {backbone: f"{backbone} ({with_interval(each, metric)})" for backbone, each in scores.items()}
        drawn[name] = draw_lines(data[name], x, y, title, legend, diagonal=name != "precision_recall")
    return drawn | {"confusion": draw_confusion(data["confusion"], classes, f"Confusion, {n}")}


def with_interval(scores: Mapping[str, Any], metric: str) -> str:
    """A metric of an evaluation as "0.91 [0.88, 0.93]", or "undefined" for None."""
    if scores[metric] is None:
        return "undefined"
    low_high = scores.get(f"{metric}_ci")
    return f"{scores[metric]:.2f}" + (f" [{low_high[0]:.2f}, {low_high[1]:.2f}]" if low_high else "")


TITLES = {"roc": "ROC", "precision_recall": "Precision and recall", "calibration": "Calibration"}


@figures.styled
def draw_lines(table: pd.DataFrame, x: str, y: str, title: str, names: Mapping[str, str], diagonal: bool) -> Figure:
    """Draw column `y` over `x`, both 0 to 1, one line per backbone; `names` maps backbones to legend entries."""
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
    """Draw one confusion matrix per backbone: counts, shaded by the share of the row (the actual class)."""
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
    """Draw loss (train dashed, val solid) and the monitored metric by epoch, one colour per backbone."""
    figure, (left, right) = figures.new(8.4, 3.4, 1, 2)
    for i, (backbone, rows) in enumerate(histories.items()):
        colour = figures.COLOURS[i % len(figures.COLOURS)]
        epochs = [row["epoch"] + 1 for row in rows]
        left.plot(epochs, [row["train_loss"] for row in rows], color=colour, linestyle="--", marker=".")
        left.plot(epochs, [row["val_loss"] for row in rows], color=colour, linestyle="-", marker=".", label=backbone)
        right.plot(epochs, [row[f"val_{monitor}"] for row in rows], color=colour, linestyle="-", marker=".")
    # A network with random weights can start at a loss of hundreds; a linear axis would flatten the later epochs.
    left.set(xlabel="epoch", ylabel="loss (train dashed, val solid)", title=f"{title}: loss", yscale="log")
    right.set(xlabel="epoch", ylabel=f"val {METRICS[monitor].label}", title=f"{title}: monitor")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(fontsize=8)
    return figure
