"""Effect sizes with bootstrap intervals: from 0, two variables have nothing to do with each other, to 1."""

from typing import NamedTuple

import numpy as np
import pandas as pd

LEVEL = (2.5, 97.5)


class Effect(NamedTuple):
    """An effect size with its 95 % interval; NaN where one of the variables has a single value."""

    value: float
    low: float
    high: float


NONE = Effect(np.nan, np.nan, np.nan)


def cramers_v(a: pd.Series, b: pd.Series, resamples: int, seed: int) -> Effect:
    """Bias-corrected Cramér's V of two categorical variables (Bergsma 2013, doi:10.1016/j.jkss.2012.10.002).

    The interval is a percentile bootstrap over the rows: drawing rows is drawing the table's cells from a multinomial.
    """
    counts = pd.crosstab(a, b).to_numpy()
    if min(counts.shape) < 2:
        return NONE
    n = counts.sum()
    drawn = np.random.default_rng(seed).multinomial(n, counts.ravel() / n, size=resamples).reshape(-1, *counts.shape)
    # A resample of a sample is biased twice over: by the sample's chance and by its own.
    return _effect(_corrected_v(counts[None], n, 1), _corrected_v(drawn, n, 2))


def _corrected_v(counts: np.ndarray, n: int, times: int) -> np.ndarray:
    """V of each table of `n` rows in (B, r, c), the bias of phi squared under independence taken off `times` times."""
    sides = np.array(counts.shape[1:])
    expected = counts.sum(2, keepdims=True) * counts.sum(1, keepdims=True) / n
    # A row or column that a resample lost adds nothing.
    phi2 = ((counts - expected) ** 2 / np.where(expected, expected, 1)).sum((1, 2)) / n
    bias = (sides - 1).prod() / (n - 1)
    corrected = sides - (sides - 1) ** 2 / (n - 1)
    return np.sqrt(np.clip((phi2 - times * bias) / max(corrected.min() - 1, 1e-9), 0, 1))


def epsilon_squared(values: pd.Series, classes: pd.Series, resamples: int, seed: int) -> Effect:
    """Share of the variance of ranks that `classes` explain: Kelley's epsilon squared (1935) of the ranks of `values`.

    It is (H - k + 1) / (n - k) with the H of Kruskal and Wallis (Tomczak and Tomczak 2014), 0 at the least. Rows
    without a value are left out. The interval is a percentile bootstrap over the rows.
    """
    known = values.notna()
    values, codes = values[known], pd.factorize(classes[known], sort=True)[0]
    n, k = len(values), len(set(codes))
    if k < 2 or n <= k or values.nunique() < 2:
        return NONE
    order = np.argsort(values.to_numpy(), kind="stable")
    _, starts, ties = np.unique(values.to_numpy()[order], return_index=True, return_inverse=True)
    members = np.eye(k)[codes[order]]
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return _effect(
        _corrected_h(np.ones((1, n), int), starts, ties, members, 1), _corrected_h(drawn, starts, ties, members, 2)
    )


def _corrected_h(
    weights: np.ndarray, starts: np.ndarray, ties: np.ndarray, members: np.ndarray, times: int
) -> np.ndarray:
    """Epsilon squared of rows in the order of their values, each `weights` times (B, n); bias as in _corrected_v."""
    n, k = members.shape
    tied = np.add.reduceat(weights, starts, axis=1)
    ranks = (np.cumsum(tied, axis=1) - (tied - 1) / 2)[:, ties] - (n + 1) / 2
    sums, sizes = (weights * ranks) @ members, weights @ members
    total = (weights * ranks**2).sum(1)
    h = (n - 1) * (sums**2 / np.where(sizes, sizes, 1)).sum(1) / np.where(total, total, 1)
    return np.clip((h - times * (k - 1)) / (n - k), 0, 1)


def _effect(value: np.ndarray, drawn: np.ndarray) -> Effect:
    # At the ends of the scale all of the doubly corrected could lie on one side of the value.
    low, high = np.percentile(drawn, LEVEL) if len(drawn) else (np.nan, np.nan)
    return Effect(
        *(round(float(each), 4) for each in (value[0], np.minimum(low, value[0]), np.maximum(high, value[0])))
    )
