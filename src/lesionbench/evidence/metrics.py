"""Metrics of calibrated probabilities, with intervals that resample lesions instead of images."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

METRICS = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "f1"),
    *("roc_auc", "average_precision", "log_loss", "brier", "ece", "n"),
)
ECE_BINS = 15


def compute(p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Compute METRICS (except n) as scikit-learn defines them, for many weightings of the same images at once.

    With two classes, precision, recall, f1, roc_auc and average_precision are those of class 1, and brier is the
    squared error of class 1. With more classes they are macro averages, and brier sums over the classes. ece is the
    error of the predicted class over ECE_BINS equal bins of confidence (Naeini et al. 2015,
    doi:10.1609/aaai.v29i1.9602).

    Args:
        p: probabilities, float (n, classes), n > 0.
        labels: class numbers, int (n,).
        weights: float (weightings, n), such as how often each image was drawn.

    Returns:
        metric → float (weightings,). A metric is NaN if undefined: a class does not occur, or, for precision with two
        classes, class 1 is never predicted. In a macro average, a class that is never predicted has precision 0.
    """
    classes = p.shape[1]
    binary = classes == 2
    one_hot, called = np.eye(classes)[labels], np.eye(classes)[p.argmax(axis=1)]
    total, hit = weights.sum(axis=1), weights @ (one_hot * called)
    actual, predicted = weights @ one_hot, weights @ called
    confidence = p.max(axis=1)
    in_bin = np.eye(ECE_BINS)[np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)]
    correct = (one_hot * called).sum(axis=1)
    squared = ((p - one_hot) ** 2).sum(axis=1) / (2 if binary else 1)
    likelihood = np.clip(p[np.arange(len(labels)), labels], np.finfo(p.dtype).eps, 1)

    def average(values: np.ndarray) -> np.ndarray:
        return values[:, 1] if binary else values.mean(axis=1)

    def ranked(score: Callable[..., np.ndarray]) -> np.ndarray:
        scored = [1] if binary else range(classes)
        return np.mean([score(p[:, c], labels == c, weights) for c in scored], axis=0)

    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hit / actual
        return {
            "accuracy": hit.sum(axis=1) / total,
            "balanced_accuracy": recall.mean(axis=1),
            "precision": (hit / predicted)[:, 1] if binary else np.nan_to_num(hit / predicted).mean(axis=1),
            "recall": average(recall),
            "f1": average(2 * hit / (actual + predicted)),
            "roc_auc": ranked(weighted_roc_auc),
            "average_precision": ranked(weighted_average_precision),
            "log_loss": weights @ -np.log(likelihood) / total,
            "brier": weights @ squared / total,
            "ece": np.abs((weights * (correct - confidence)) @ in_bin).sum(axis=1) / total,
        }


def _cumulated(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of true and false positives at m distinct thresholds, from the highest: two float (weightings, m)."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    w, here = weights[:, order], positive[order]
    return np.cumsum(w * here, axis=1)[:, ends], np.cumsum(w * ~here, axis=1)[:, ends]


def weighted_roc_auc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, float (weightings,); NaN without positives or without negatives.

    `scores` are float (n,), `positive` bool (n,), `weights` float (weightings, n).
    """
    true, false = _cumulated(scores, positive, weights)
    steps = np.diff(false, axis=1, prepend=0)
    area = (steps * (true - np.diff(true, axis=1, prepend=0) / 2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return area / (true[:, -1] * false[:, -1])


def weighted_average_precision(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision, float (weightings,); NaN without positives. Arguments as in weighted_roc_auc."""
    true, false = _cumulated(scores, positive, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nan_to_num(true / (true + false))
        return (np.diff(true, axis=1, prepend=0) * precision).sum(axis=1) / true[:, -1]


def per_class(p: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Score each class against the rest: precision, recall with Wilson interval, f1, roc_auc, average_precision, n.

    Args:
        p: probabilities, float (n, classes).
        labels: class numbers, int (n,).
        names: class names.

    Returns:
        class name → its scores; an undefined score is None.
    """
    from scipy.stats import binomtest

    chosen, once = p.argmax(axis=1), np.ones((1, len(labels)))
    found: dict[str, dict[str, Any]] = {}
    for c, name in enumerate(names):
        here, called = labels == c, chosen == c
        hit, n, n_called = int((here & called).sum()), int(here.sum()), int(called.sum())
        wilson = binomtest(hit, n).proportion_ci(method="wilson") if n else None
        found[name] = {
            "precision": hit / n_called if n_called else None,
            "recall": hit / n if n else None,
            **({"recall_ci": [float(wilson.low), float(wilson.high)]} if wilson else {}),
            "f1": 2 * hit / (n + n_called) if n else None,
            "roc_auc": _number(weighted_roc_auc(p[:, c], here, once)),
            "average_precision": _number(weighted_average_precision(p[:, c], here, once)),
            "n": n,
        }
    return found


def _number(values: np.ndarray) -> float | None:
    return None if np.isnan(values[0]) else float(values[0])


def resample_groups(groups: np.ndarray, strata: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Bootstrap weights, float (samples, n): how often each image is drawn when whole groups are drawn.

    Groups are drawn with replacement within their stratum, so a rare class never disappears.

    Args:
        groups: group of each image, (n,).
        strata: stratum of each image, (n,). A group belongs to the stratum of its first image.
        samples: number of resamples.
        seed: seed of the draws.
    """
    rng = np.random.default_rng(seed)
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    drawn = np.zeros((samples, len(first)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata[first] == stratum)
        if len(members):
            drawn[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=samples)
    return drawn[:, number]


def interval(values: np.ndarray) -> list[float]:
    """The 2.5th and 97.5th percentiles of resampled values, float (samples,)."""
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]


def evaluate(
    p: np.ndarray, labels: np.ndarray, groups: np.ndarray, names: Sequence[str], samples: int, seed: int
) -> dict[str, Any]:
    """All metrics of one set of images.

    Args:
        p: calibrated probabilities, float (n, classes).
        labels: class numbers, int (n,).
        groups: group_id of each image, (n,).
        names: class names.
        samples: number of bootstrap resamples of groups; 0 leaves the intervals out.
        seed: seed of the resamples.

    Returns:
        METRICS (None where undefined), `<metric>_ci` (95 % percentile interval) and per_class (see `per_class`).

    Examples:
        >>> import numpy as np
        >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
        >>> labels, lesions = np.array([0, 0, 1, 1]), np.array(["l1", "l1", "l2", "l3"])
        >>> found = evaluate(p, labels, lesions, ("non_melanoma", "melanoma"), samples=100, seed=42)
        >>> found["accuracy"], found["recall"], found["roc_auc"]
        (0.75, 0.5, 0.75)
        >>> found["recall_ci"]  # of two melanomas
        [0.0, 1.0]
    """
    found: dict[str, Any] = {"n": len(labels)}
    resampled = compute(p, labels, resample_groups(groups, labels, samples, seed))
    for name, value in compute(p, labels, np.ones((1, len(labels)))).items():
        found[name] = _number(value)
        if samples and not np.isnan([value[0], *resampled[name]]).any():
            found[f"{name}_ci"] = interval(resampled[name])
    found["per_class"] = per_class(p, labels, names)
    return found
