"""Sets of classes that hold the true one as often as asked for, in each class by itself: Mondrian conformal sets.

The ten lines are written out, because the thresholds themselves are what is shown and deployed, and the libraries keep
them inside of their classifiers. The tests hold them to the p-values of the library crepes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lesionbench.evidence.intervals import Draws

COVERAGE = 0.9  # share of each class's images whose set is to hold that class


def thresholds(p: np.ndarray, labels: np.ndarray, coverage: float = COVERAGE) -> np.ndarray:
    """The least probability with which a set holds each class, float (classes,), from images of known class.

    Of the n images of a class, ordered by their probability of it, the image number floor((n + 1) (1 - coverage)) gives
    the threshold. A new image of the class then has the class in its set with a chance of at least `coverage`, if it is
    exchangeable with those n (Vovk 2012, arXiv:1209.2673; by class as in Sadinle et al. 2019,
    doi:10.1080/01621459.2017.1395341). With too few images, fewer than 9 for 0.9, it is 0: all sets hold the class.

    Args:
        p: probabilities, float (n, classes).
        labels: class numbers, int (n,).
        coverage: 0 to 1, both excluded.

    Examples:
        >>> import numpy as np
        >>> p = np.linspace(0.05, 0.95, 19)
        >>> thresholds(np.stack([p, 1 - p], axis=1), np.zeros(19, int))  # the second of 19; no image of class 1
        array([0.1, 0. ])
    """
    least = np.zeros(p.shape[1])
    for c in range(p.shape[1]):
        own = np.sort(p[labels == c, c])
        place = int((len(own) + 1) * (1 - coverage) + 1e-9)  # 10 * (1 - 0.9) is a little below 1
        least[c] = own[place - 1] if place else 0
    return least


def sets(p: np.ndarray, least: np.ndarray) -> np.ndarray:
    """The set of each image, bool (n, classes): classes whose probability reaches `thresholds`; it may be empty."""
    return p >= least


def measure(
    held: np.ndarray, labels: np.ndarray, names: Sequence[str], melanoma: int, draws: Draws, lesions: np.ndarray
) -> dict[str, Any]:
    """How often sets hold the true class, and how much they leave open, with intervals.

    Args:
        held: result of `sets`, bool (n, classes), n > 0.
        labels: class numbers, int (n,).
        names: class names.
        melanoma: number of the class melanoma.
        draws: resamples of the same n images.
        lesions: of each image, (n,); not what is drawn where that is patients.

    Returns:
        As results.SetScores says.
    """
    size, every = held.sum(axis=1), np.ones(len(held), bool)
    right = held[np.arange(len(labels)), labels]
    mean_size = (draws.weights @ size) / draws.weights.sum(axis=1)
    return {
        "n": len(labels),
        "lesions": len(np.unique(lesions)),
        **draws.share("coverage", right, every),
        **draws.score("mean_size", mean_size, draws.count(every), 0, len(names)),
        **draws.share("empty", size == 0, every),
        **draws.share("single", size == 1, every),
        **draws.share("melanoma", held[:, melanoma], every),
        "per_class": {
            name: {
                "n": int((labels == c).sum()),
                "lesions": len(np.unique(lesions[labels == c])),
                **draws.share("coverage", right, labels == c),
            }
            for c, name in enumerate(names)
        },
    }
