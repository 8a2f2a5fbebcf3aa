"""Lesions behind images: one row of probabilities a lesion, and how many lesions a score rests on."""

import numpy as np
from scipy.special import softmax

from lesionbench.evidence.calibration import bounded_log
from lesionbench.evidence.intervals import MIN_LESIONS

OF_ALL = ("log_loss", "brier", "log_loss_skill", "brier_skill")  # means over images


def by_lesion(p: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row a lesion: the geometric mean of its images' probabilities, label, and where its first image stands.

    The means are scaled to the sum 1. Where temperature and biases alone calibrate, they are what the mean logit's
    calibration gives, as the mean of log p is that of logits / T + b but for a constant. A p below calibration.LEAST
    counts as that. p is calibrated to the class shares of images; no calibration by lesion is made.

    Args:
        p: calibrated probabilities, float (n, classes).
        labels: class numbers, int (n,); a lesion has that of its first image. Groups whose images have several
            labels, as merged pairs may, are counted in results.LesionScores.mixed.
        groups: lesion of each image, (n,).
    """
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    summed = np.zeros((len(first), p.shape[1]))
    np.add.at(summed, number, bounded_log(p))
    # Means of one number over two and over three images differ in the last digit, and equal p must rank equally.
    mean = (summed / np.bincount(number)[:, None]).round(12)
    return softmax(mean, axis=1), labels[first], first


def lesions_behind(name: str, labels: np.ndarray, lesion: np.ndarray, free: bool) -> int:
    """How many lesions the interval of a score rests on, for Draws.score: those of the rarest class that occurs.

    All, for a mean over images (OF_ALL), if lesions were drawn freely or each class that occurs has MIN_LESIONS.

    Args:
        name: of the score.
        labels: label of each image, (n,), n > 0.
        lesion: lesion of each image, (n,).
        free: whether lesions were drawn freely, not within their class.
    """
    fewest = min(len(np.unique(lesion[labels == label])) for label in np.unique(labels))
    return len(np.unique(lesion)) if name in OF_ALL and (free or fewest >= MIN_LESIONS) else fewest
