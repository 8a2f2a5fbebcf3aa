"""The data of ROC, precision-recall and reliability curves and of confusion matrices, of all backbones."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lesionbench.core.tasks import melanoma_column, numbers
from lesionbench.evidence.predictions import probabilities
from lesionbench.evidence.reliability import equal_mass

CURVE_POINTS = 201  # Points from 0 to 1.
BINS = 15  # of confidence, of even width


def tabulate(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return figure name → its data.

    Args:
        tables: backbone → its predictions on one split, with decisions: a column `called`, the class's number.
        classes: the task's classes.
    """
    return {
        "roc": roc_curves(tables, classes),
        "precision_recall": precision_recall_curves(tables, classes),
        "confusion": confusion(tables, classes),
        "calibration": calibration(tables, classes),
        "reliability": reliability(tables, classes),
    }


def _one_against_rest(table: pd.DataFrame, classes: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    p, labels = probabilities(table, classes), numbers(table["label"], classes)
    scored = [1] if len(classes) == 2 else range(len(classes))
    return [(p[:, c], labels == c) for c in scored if (labels == c).any() and not (labels == c).all()]


def roc_curves(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """ROC curve of each backbone; of class 1 if there are two, else the macro average.

    Columns backbone, fpr, tpr and threshold: the lowest probability of class 1 to call at that has no more false
    positives. It is NaN where nothing is called, and in the macro average, which has none.
    """
    from sklearn.metrics import roc_curve

    grid = np.linspace(0, 1, CURVE_POINTS)
    rows = []
    for backbone, table in tables.items():
        one = _one_against_rest(table, classes)
        curves = [roc_curve(positive, p, drop_intermediate=False) for p, positive in one]
        if not curves:
            continue
        tpr = np.mean([np.interp(grid, fpr, tpr) for fpr, tpr, _ in curves], axis=0)
        tpr[0] = 0
        fpr, _, thresholds = curves[0]
        at = thresholds[np.searchsorted(fpr, grid + 1e-9, side="right") - 1] if len(classes) == 2 else np.nan
        rows.append(pd.DataFrame({"backbone": backbone, "fpr": grid, "tpr": tpr, "threshold": at}))
    return _joined(rows, ["backbone", "fpr", "tpr", "threshold"])


def precision_recall_curves(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """Precision at each recall: columns backbone, recall, precision, threshold. Classes are averaged as in roc_curves.

    Precision at recall r is taken at the highest threshold that reaches r, without interpolation; NaN as in roc_curves.
    """
    from sklearn.metrics import precision_recall_curve

    grid = np.linspace(0, 1, CURVE_POINTS)[1:]
    rows = []
    for backbone, table in tables.items():
        precisions, at = [], np.full(len(grid), np.nan)
        for p, positive in _one_against_rest(table, classes):
            precision, recall, thresholds = precision_recall_curve(positive, p)
            reached = np.searchsorted(recall[::-1], grid - 1e-9)
            precisions.append(precision[::-1][reached])
            if len(classes) == 2:
                at = thresholds[::-1][reached - 1]
        if precisions:
            mean = np.mean(precisions, axis=0)
            rows.append(pd.DataFrame({"backbone": backbone, "recall": grid, "precision": mean, "threshold": at}))
    return _joined(rows, ["backbone", "recall", "precision", "threshold"])


def _joined(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    empty = pd.DataFrame(columns=list(columns))
    return pd.concat(tables, ignore_index=True).round(6).replace(np.inf, np.nan) if tables else empty


def confusion(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """One row per image and backbone: columns backbone, actual, predicted, as DVC's confusion template expects.

    `predicted` follows the decision in force.
    """
    names = np.array(classes)
    parts = [
        pd.DataFrame({"backbone": backbone, "actual": table["label"], "predicted": names[table["called"]]})
        for backbone, table in tables.items()
    ]
    return pd.concat(parts, ignore_index=True)


def calibration(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """Reliability of the likeliest class by BINS even bins of confidence: columns backbone, confidence, accuracy, n."""
    parts = []
    for backbone, table in tables.items():
        p, labels = probabilities(table, classes), numbers(table["label"], classes)
        bins = np.minimum((p.max(axis=1) * BINS).astype(int), BINS - 1)
        parts.append(_by_bins(p.max(axis=1), p.argmax(axis=1) == labels, bins, "confidence", "accuracy", backbone))
    return pd.concat(parts, ignore_index=True)


def reliability(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """Reliability of p(melanoma) by bins of about as many images: columns backbone, p, share, n."""
    column, parts = melanoma_column(classes), []
    for backbone, table in tables.items():
        p = probabilities(table, classes)[:, column]
        positive = numbers(table["label"], classes) == column
        parts.append(_by_bins(p, positive, equal_mass(p), "p", "share", backbone))
    return pd.concat(parts, ignore_index=True)


def _by_bins(p: np.ndarray, true: np.ndarray, bins: np.ndarray, x: str, y: str, backbone: str) -> pd.DataFrame:
    """By bin the mean of `p` as column `x`, the share of `true` as column `y`, and n."""
    each = pd.DataFrame({x: p, y: true, "n": 1})
    grouped = each.groupby(bins).agg({x: "mean", y: "mean", "n": "sum"})
    return grouped.assign(backbone=backbone)[["backbone", x, y, "n"]].round(6)
