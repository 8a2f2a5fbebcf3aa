"""Metrics of calibrated probabilities, with intervals that resample lesions and not images."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

METRICS = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "f1"),
    *("roc_auc", "average_precision", "log_loss", "brier", "ece", "n"),
)
ECE_BINS = 15


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature in 0.05 to 20 that minimises the log loss of softmax(logits / T) (Guo et al. 2017).

    Args:
        logits: float (n, classes).
        labels: class numbers (n,).
    """
    rows = np.arange(len(labels))

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits / np.exp(log_t), axis=1)[rows, labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(logits / temperature), float64 (n, classes)."""
    return softmax(logits.astype(np.float64) / temperature, axis=1)


def compute(p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics METRICS (but n) of many weightings of one set of images at once, as scikit-learn defines them.

    With two classes precision, recall, f1, roc_auc and average_precision mean class 1, and brier is the squared
    error of class 1; with more they mean the macro average, and brier is summed over the classes. ece is of the
    predicted class over ECE_BINS equal bins of confidence (Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602).

    Args:
        p: probabilities, float (n, classes), n > 0.
        labels: class numbers, int (n,).
        weights: float (weightings, n), such as how often each image was drawn.

    Returns:
        metric → float (weightings,); NaN where it is not defined: a class does not occur, or with two classes for
        precision, class 1 is never called. In a macro average, a class that is never called has precision 0.
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
    """Weight of true and of false positives at each distinct threshold, from the highest: two (weightings, m)."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    w, here = weights[:, order], positive[order]
    return np.cumsum(w * here, axis=1)[:, ends], np.cumsum(w * ~here, axis=1)[:, ends]


def weighted_roc_auc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of scores (n,) against bool (n,), for weights (weightings, n); NaN for one class."""
    true, false = _cumulated(scores, positive, weights)
    steps = np.diff(false, axis=1, prepend=0)
    area = (steps * (true - np.diff(true, axis=1, prepend=0) / 2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return area / (true[:, -1] * false[:, -1])


def weighted_average_precision(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision of scores (n,) against bool (n,), for weights (weightings, n); NaN without positives."""
    true, false = _cumulated(scores, positive, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nan_to_num(true / (true + false))
        return (np.diff(true, axis=1, prepend=0) * precision).sum(axis=1) / true[:, -1]


def per_class(p: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Per class, against the rest: precision, recall with its Wilson interval, f1, roc_auc, average_precision, n."""
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
    """Bootstrap weights, float (samples, n): how often each image was drawn when whole groups are drawn.

    Groups are drawn with replacement within their stratum, so that a rare class never vanishes.

    Args:
        groups: group of each image, (n,).
        strata: stratum of each image, (n,); a group belongs to the stratum of its first image.
        samples: how many resamples.
        seed: of the draws.
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
    """The 2.5th and 97.5th percentile of resampled values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]


def evaluate(
    p: np.ndarray, labels: np.ndarray, groups: np.ndarray, names: Sequence[str], samples: int, seed: int
) -> dict[str, Any]:
    """All metrics of one set of images: METRICS, `<metric>_ci` (95 %, percentile bootstrap by group) and `per_class`.

    Args:
        p: calibrated probabilities, float (n, classes).
        labels: class numbers, int (n,).
        groups: group_id of each image, (n,).
        names: class names.
        samples: bootstrap resamples; 0 leaves the intervals out.
        seed: of the resamples.
    """
    found: dict[str, Any] = {"n": len(labels)}
    resampled = compute(p, labels, resample_groups(groups, labels, samples, seed))
    for name, value in compute(p, labels, np.ones((1, len(labels)))).items():
        found[name] = _number(value)
        if samples and not np.isnan([value[0], *resampled[name]]).any():
            found[f"{name}_ci"] = interval(resampled[name])
    found["per_class"] = per_class(p, labels, names)
    return found


def operating_points(p: np.ndarray, labels: np.ndarray, targets: list[float]) -> dict[str, float]:
    """For each wanted sensitivity, the highest threshold on p (n,) that reaches it on these images.

    Keys are like `sensitivity_0.9`; labels are 0 or 1, and empty without positives.
    """
    positives = np.sort(p[labels == 1])[::-1]
    if len(positives) == 0:
        return {}
    needed = {target: int(np.ceil(target * len(positives) - 1e-9)) for target in targets}
    return {f"sensitivity_{target:g}": float(positives[max(1, k) - 1]) for target, k in needed.items()}


def at_threshold(p: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, float | None]:
    """sensitivity, specificity, precision of calling p >= threshold positive; None where undefined."""
    called, positive = p >= threshold, labels == 1

    def share(part: np.ndarray, whole: np.ndarray) -> float | None:
        return float((part & whole).sum() / whole.sum()) if whole.any() else None

    return {
        "threshold": threshold,
        "sensitivity": share(called, positive),
        "specificity": share(~called, ~positive),
        "precision": share(positive, called),
    }
