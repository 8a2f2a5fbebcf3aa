"""The training images that a network finds most like an image, and whether they have its diagnosis."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from lesionbench.evidence.intervals import Draws

NEAREST = 3  # training lesions that are shown beside an image
ROWS = 512  # images at a time: their distances to 10,000 training images take 40 MB


def distances(features: np.ndarray, train: np.ndarray) -> Iterator[np.ndarray]:
    """Yield 1 - cosine similarity of each row of `features` to each of `train`, float64 (ROWS or fewer, m), 0 to 2.

    It orders training images as the Euclidean distance of features of length 1 does: that is the square root of twice
    as much. It is rounded to 9 decimals. A row that is all 0 has the distance 1 to all.

    Args:
        features: float (n, features).
        train: float (m, features).
    """
    columns = _unit(train).T
    for start in range(0, len(features), ROWS):
        yield (1 - _unit(features[start : start + ROWS]) @ columns).round(9).clip(0, 2)


def _unit(features: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def nearest(
    features: np.ndarray, train: np.ndarray, groups: np.ndarray, k: int = NEAREST
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest image of each of the k nearest training lesions, and its distance.

    Args:
        features: float (n, features).
        train: float (m, features), m > 0.
        groups: lesion of each training image, (m,).
        k: how many lesions; all where there are fewer.

    Returns:
        Rows of `train`, int (n, k), the nearest first, equally near ones in the order of `train`; and float (n, k).
    """
    number = np.unique(groups, return_inverse=True)[1]
    k = min(k, int(number.max()) + 1)
    rows, how_far = [], []
    for far in distances(features, train):
        for each, order in zip(far, far.argsort(axis=1, kind="stable"), strict=True):
            first: dict[int, int] = {}
            for place in order:
                if first.setdefault(int(number[place]), int(place)) == place and len(first) == k:
                    break
            rows.append(list(first.values()))
            how_far.append(each[rows[-1]])
    return np.array(rows, int).reshape(-1, k), np.array(how_far, float).reshape(-1, k)


def agreement(
    found: np.ndarray, dx: np.ndarray, train: pd.DataFrame, groups: np.ndarray, samples: int, seed: int
) -> dict[str, Any]:
    """How often the nearest training lesions have an image's diagnosis, against lesions drawn at random.

    Args:
        found: rows of `train`, int (n, k), n > 0, as `nearest` gives them.
        dx: diagnosis of each image, (n,).
        train: the training images, columns dx and group_id.
        groups: lesion of each image, (n,).
        samples: number of resamples of lesions within their diagnosis; 0 leaves the intervals out.
        seed: seed of the resamples.

    Returns:
        As results.Neighbours says.
    """
    share = train.drop_duplicates("group_id")["dx"].value_counts(normalize=True)
    same = train["dx"].to_numpy()[found] == dx[:, None]
    draws = Draws.make(groups, dx, samples, seed)
    of, chance = pd.get_dummies(pd.Series(dx)), pd.Series(dx).map(share).fillna(0).to_numpy()
    by_class = of.to_numpy(float)  # (n, diagnoses that occur)
    fewest = min(draws.count(column) for column in by_class.T > 0)

    def mean(values: np.ndarray) -> np.ndarray:
        return (draws.weights @ values) / draws.weights.sum(axis=1)

    def balanced(values: np.ndarray) -> np.ndarray:
        return ((draws.weights @ (by_class * values[:, None])) / (draws.weights @ by_class)).mean(axis=1)

    every = np.ones(len(dx), bool)
    return {
        "n": len(dx),
        "nearest": found.shape[1],
        **draws.score("same", mean(same.mean(axis=1)), draws.count(every), 0, 1),
        "same_chance": float(chance.mean()),
        **draws.score("balanced", balanced(same.mean(axis=1)), fewest, 0, 1),
        "balanced_chance": float(balanced(chance)[0]),
        **draws.share("first", same[:, 0], every),
    }
