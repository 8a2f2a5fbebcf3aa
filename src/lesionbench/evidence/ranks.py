"""Scores of a ranking, for many weightings of the same images at once."""

from collections.abc import Sequence

import numpy as np


def weighted_areas(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area under the ROC curve, and average precision, as scikit-learn defines them: two float (weightings,).

    Both are NaN without positives; the first also without negatives.

    Args:
        scores: float (n,), n > 0.
        positive: bool (n,).
        weights: float (weightings, n), 0 or more.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    w, here = weights[:, order], positive[order]
    # Weights of true and false positives at m distinct thresholds, from the highest: (weightings, m).
    true, false = np.cumsum(w * here, axis=1)[:, ends], np.cumsum(w * ~here, axis=1)[:, ends]
    more_true, more_false = np.diff(true, axis=1, prepend=0), np.diff(false, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (more_false * (true - more_true / 2)).sum(axis=1) / (true[:, -1] * false[:, -1])
        precision = np.nan_to_num(true / (true + false))
        return area, (more_true * precision).sum(axis=1) / true[:, -1]


def areas_by_class(p: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Both areas of some `classes`, each against the rest, float (classes, 2, weightings).

    Args:
        p: float (n, all classes), n > 0.
        labels: class numbers, int (n,).
        weights: as in weighted_areas.
        classes: the numbers of those that are asked for.
    """
    return np.array([weighted_areas(p[:, c], labels == c, weights) for c in classes])


def weighted_roc_auc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, float (weightings,); arguments as in weighted_areas."""
    return weighted_areas(scores, positive, weights)[0]


def roc_auc_within(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """How often a positive scores above a negative of its own stratum, float (weightings,).

    It is the mean of the strata's areas under the ROC curve, weighted by their pairs. A score that only tells the
    strata apart has 0.5 here, however large its area over all pairs (Janes and Pepe 2008,
    doi:10.1111/j.1541-0420.2007.00901.x). NaN where no stratum has both kinds.

    Args:
        scores, positive, weights: as in weighted_areas.
        stratum: of each image, (n,).
    """
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for each in np.unique(stratum):
        rows = stratum == each
        w, here = weights[:, rows], positive[rows]
        n = (w @ here) * (w @ ~here)
        right += n * np.nan_to_num(weighted_roc_auc(scores[rows], here, w))
        pairs += n
    with np.errstate(invalid="ignore"):
        return right / pairs
