"""Effect sizes with bootstrap intervals, from 0 (no association) to 1 (full dependence)."""

from typing import NamedTuple

import numpy as np
import pandas as pd

LEVEL = (2.5, 97.5)  # Percentiles that bound a 95 % interval.


class Effect(NamedTuple):
    """An effect size with its 95 % interval. All are NaN where a variable has fewer than two values."""

    value: float
    low: float
    high: float


NONE = Effect(np.nan, np.nan, np.nan)


def cramers_v(a: pd.Series, b: pd.Series, resamples: int, seed: int) -> Effect:
    """Bias-corrected Cramér's V of two categorical variables (Bergsma 2013, doi:10.1016/j.jkss.2012.10.002).

    The interval is a percentile bootstrap over the rows, drawn as cells of the contingency table from a multinomial.

    Args:
        a, b: categories of the same n rows.
        resamples: number of bootstrap resamples; 0 gives NaN as interval.
        seed: seed of the resamples.

    Examples:
        >>> import pandas as pd
        >>> sites, diagnoses = pd.Series(["face", "back"] * 20), pd.Series(["mel", "nv"] * 20)
        >>> cramers_v(sites, diagnoses, resamples=100, seed=42).value
        1.0
        >>> cramers_v(sites, diagnoses.sort_values(ignore_index=True), resamples=100, seed=42).value
        0.0
    """
    counts = pd.crosstab(a, b).to_numpy()
    if min(counts.shape) < 2:
        return NONE
    n = counts.sum()
    drawn = np.random.default_rng(seed).multinomial(n, counts.ravel() / n, size=resamples).reshape(-1, *counts.shape)
    # A resample is biased twice: by the chance of the sample and by the chance of its own draw.
    return _effect(_corrected_v(counts[None], n, 1), _corrected_v(drawn, n, 2))


def _corrected_v(counts: np.ndarray, n: int, times: int) -> np.ndarray:
    """V, float (B,), of tables (B, r, c) of `n` rows; phi squared loses its bias under independence `times` times."""
    sides = np.array(counts.shape[1:])
    expected = counts.sum(2, keepdims=True) * counts.sum(1, keepdims=True) / n
    # Rows and columns that are empty in a resample add nothing: their numerator is 0.
    phi2 = ((counts - expected) ** 2 / np.where(expected, expected, 1)).sum((1, 2)) / n
    bias = (sides - 1).prod() / (n - 1)
    corrected = sides - (sides - 1) ** 2 / (n - 1)
    return np.sqrt(np.clip((phi2 - times * bias) / max(corrected.min() - 1, 1e-9), 0, 1))


def epsilon_squared(values: pd.Series, classes: pd.Series, resamples: int, seed: int) -> Effect:
    """Kelley's epsilon squared (1935) of the ranks of `values`: the share of their variance that `classes` explain.

    With H of Kruskal and Wallis, n values and k classes, epsilon squared is max(0, (H - k + 1) / (n - k)).
    Tomczak and Tomczak 2014 call the same quantity eta squared of H.

    Args:
        values: n numbers; rows with NaN are left out.
        classes: category of each row.
        resamples: number of bootstrap resamples of rows for the percentile interval; 0 gives NaN as interval.
        seed: seed of the resamples.
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
    """Epsilon squared, float (B,), of n rows in ascending order of value; the bias is as in _corrected_v.

    Args:
        weights: how often each resample has each row, int (B, n).
        starts: first row of each distinct value.
        ties: number of the distinct value of each row, int (n,).
        members: one-hot classes, float (n, k).
        times: how often the bias is subtracted.
    """
    n, k = members.shape
    tied = np.add.reduceat(weights, starts, axis=1)
    ranks = (np.cumsum(tied, axis=1) - (tied - 1) / 2)[:, ties] - (n + 1) / 2
    sums, sizes = (weights * ranks) @ members, weights @ members
    total = (weights * ranks**2).sum(1)
    h = (n - 1) * (sums**2 / np.where(sizes, sizes, 1)).sum(1) / np.where(total, total, 1)
    return np.clip((h - times * (k - 1)) / (n - k), 0, 1)


def _effect(value: np.ndarray, drawn: np.ndarray) -> Effect:
    # Near 0 and 1 all doubly corrected resamples can lie on one side of the value, which the interval must contain.
    low, high = np.percentile(drawn, LEVEL) if len(drawn) else (np.nan, np.nan)
    return Effect(
        *(round(float(each), 4) for each in (value[0], np.minimum(low, value[0]), np.maximum(high, value[0])))
    )
