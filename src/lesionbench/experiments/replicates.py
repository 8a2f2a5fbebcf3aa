"""Replicates: experiments that differ in the seed or the fold alone, gathered into means with intervals."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lesionbench.experiments.tables import ABSENT, COMMIT, METRICS, WORKSPACE, changed

OVER = ("seed", "split.fold")
KEYS = ["commit", "changed", "leaky", "task", "backbone"]
SCORED = ["metric", "of", "n", "mean", "low", "high", "sd", "min", "max"]
COLUMNS = ["commit", "changed", "minus", *KEYS[2:], *SCORED]
NOTHING = 1e-12  # standard error below which nothing varies but the last digits
FEWEST = 3  # seeds of each of two settings, below which nothing is said of their difference


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean by Student's t, for independent values float (n,); NaN below two of them.

    Examples:
        >>> import numpy as np
        >>> [round(bound, 3) for bound in t_interval(np.array([0.90, 0.92, 0.94]))]
        [0.87, 0.97]
    """
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return np.nan, np.nan
    reach = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return float(np.mean(values)) - reach, float(np.mean(values)) + reach


def seeds_apart(own: pd.Series, other: pd.Series) -> tuple[float, float, float, float]:
    """The mean of `own` minus that of `other`, its 95 % interval by Student's t, and its two-sided p.

    The difference is taken seed by seed where both have FEWEST seeds in common, and else by Welch's method.

    Args:
        own: score by seed, each seed once; FEWEST or more.
        other: the same of another setting.

    Returns:
        Value, low, high and p. Where nothing varies, low and high are NaN and p is 1.
    """
    from scipy.stats import t

    both = own.index.intersection(other.index)
    paired = len(both) >= FEWEST
    parts = [own[both] - other[both]] if paired else [own, other]
    value = float(parts[0].mean()) if paired else float(own.mean() - other.mean())
    variances = [float(part.var(ddof=1)) / len(part) for part in parts]
    error = sum(variances) ** 0.5
    if error < NOTHING:
        return value, np.nan, np.nan, 1.0
    freedom = error**4 / sum(v**2 / (len(part) - 1) for v, part in zip(variances, parts, strict=True))
    reach = float(t.ppf(0.975, freedom)) * error
    return value, value - reach, value + reach, float(2 * t.sf(abs(value) / error, freedom))


def gather(table: pd.DataFrame, parameters: Sequence[str], over: Sequence[str] = OVER) -> pd.DataFrame:
    """Means of experiments that differ only in the parameters `over`, and differences of such groups.

    Experiments with the same parameters count once. The workspace does not count.

    Args:
        table: result of tables.tabulate.
        parameters: dotted names of the parameters.
        over: those that replicates differ in.

    Returns:
        Columns COLUMNS. By `of`:

        - "runs": the mean over n runs, and its 95 % interval by Student's t, for what another seed would give on the
          same images. Folds get no interval, because they share training images (Bengio and Grandvalet 2004).
        - "pairs": the group `changed` minus the group `minus`, run by run with the same parameters `over`.
    """
    table = scored(table, parameters, over)
    found = []
    for key, rows in table.groupby(KEYS, sort=False):
        about = dict(zip(KEYS, key, strict=True))
        found += [{**about, "of": "runs", **each} for each in _spreads(rows, has_folds(rows))]
    for _, rows in table.groupby(["commit", "task", "backbone"], sort=False):
        found += _pairs(rows, over)
    return pd.DataFrame(found).reindex(columns=COLUMNS)


def scored(table: pd.DataFrame, parameters: Sequence[str], over: Sequence[str]) -> pd.DataFrame:
    """The rows of `table` that have scores, once each and without the workspace; `changed` leaves `over` out."""
    # Before rows without scores go: the commit, from which changes are told, may have none.
    told = changed(table, parameters, over) if len(table) else ""
    table = table.assign(changed=told)[table["experiment"].ne(WORKSPACE) & table["task"].notna()]
    return table.drop_duplicates(["commit", "task", "backbone", *parameters])


def has_folds(rows: pd.DataFrame) -> bool:
    """Whether the rows are of several folds of a cross-validation."""
    if not {"split.folds", "split.fold"} <= set(rows):
        return False
    return bool(not rows["split.folds"].isin(ABSENT).any() and rows["split.fold"].nunique() > 1)


def _spreads(rows: pd.DataFrame, folds: bool) -> Iterator[dict[str, Any]]:
    for metric in METRICS:
        values = rows[metric].dropna().to_numpy(float)
        low, high = (np.nan, np.nan) if folds else t_interval(values)
        some = len(values) > 0
        yield {
            "metric": metric,
            "n": len(values),
            "mean": values.mean() if some else np.nan,
            "low": low,
            "high": high,
            "sd": values.std(ddof=1) if len(values) > 1 else np.nan,
            "min": values.min() if some else np.nan,
            "max": values.max() if some else np.nan,
        }


def _pairs(rows: pd.DataFrame, over: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Each group minus the first, where two runs or more of both have the same parameters `over`."""
    groups = {str(name): group for name, group in rows.groupby("changed", sort=False)}
    first = "" if "" in groups else next(iter(groups))
    base = groups.pop(first).set_index(list(over))[list(METRICS)]
    for name, group in groups.items():
        paired = group.set_index(list(over))[list(METRICS)].sub(base).dropna(how="all")
        if len(paired) > 1:
            about = {"changed": name, "minus": first or COMMIT, "of": "pairs"}
            about |= {key: group.iloc[0][key] for key in KEYS if key != "changed"}
            yield from ({**about, **each} for each in _spreads(paired, has_folds(group)))
