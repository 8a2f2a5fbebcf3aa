"""Each experiment against the one that is best on val: the difference, its interval, and what can be said of it."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import pandas as pd
from scipy.stats import norm

from lesionbench.core.tasks import classes_of
from lesionbench.evidence import compare
from lesionbench.evidence.intervals import Z
from lesionbench.evidence.names import HEADLINE
from lesionbench.evidence.predictions import drawn_freely
from lesionbench.experiments.replicates import FEWEST, seeds_apart
from lesionbench.experiments.tables import METRICS, WORKSPACE, changed, holds_out, read_predictions

COLUMNS = ["experiment", "changed", "leaky", "task", "backbone", "val", *METRICS, "low", "high"]
BEHIND = ["behind", "behind_low", "behind_high", "p_holm"]
SEEDED = ["seeds", "seeds_low", "seeds_high", "seeds_p_holm"]
AGAINST = [*BEHIND, *SEEDED, "says"]
SETTING = ["commit", "backbone", "seedless"]  # what experiments that differ in the seed alone have in common
RULE = "evaluate.decision"
BEST = "best on val"
SAME = "no difference shown"
OTHER = "scored on other images"
SEEDS = "differ by more than the seeds do"
ONE_SEED = "these two trainings differ; another seed may differ by as much"
LEVEL = 0.05


class Difference(NamedTuple):
    """A score minus that of the best, with its 95 % interval and two-sided p where there are any."""

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def shown(self) -> bool:
        """Whether the interval excludes 0, and p is small."""
        excluded = self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)
        return excluded and self.p is not None and self.p < LEVEL


def overview(table: pd.DataFrame, parameters: Sequence[str], split: str, samples: int) -> pd.DataFrame:
    """One row per experiment, task and backbone, by the task's HEADLINE on val, whichever split is shown.

    The workspace is left out if it repeats a commit or an experiment.

    Args:
        table: result of tables.tabulate.
        parameters: dotted names of the parameters.
        split: "val" or "test", whose scores they are.
        samples: resamples of lesions for the paired intervals.

    Returns:
        COLUMNS and AGAINST. `val` is the HEADLINE on val, and its highest is the best; that of a leaky split is not.
        `behind` is the HEADLINE minus the best one's, with its 95 % interval. `seeds` is the same of the means over
        seeds; NaN unless both have FEWEST seeds or more. Either p is held for all pairs, see `hold`. `says` is BEST,
        SAME, OTHER, SEEDS or ONE_SEED.
    """
    seedless = changed(table, parameters, ["seed"])
    table = table.assign(changed=changed(table, parameters), seedless=seedless).dropna(subset="task")
    table = table.assign(**{RULE: table.get(RULE, "balanced")})
    told = table.duplicated(["changed", "task", "backbone", *METRICS], keep=False)
    table = table[~(told & table["experiment"].eq(WORKSPACE))]
    found: list[dict[str, Any]] = []
    for task in HEADLINE:
        rows = table[table["task"].eq(task)].sort_values("val", ascending=False, kind="stable")
        found += _against_best(rows.reset_index(drop=True), task, split, samples)
    return pd.DataFrame(found).reindex(columns=[*COLUMNS, *AGAINST])


def _against_best(rows: pd.DataFrame, task: str, split: str, samples: int) -> list[Any]:
    able = rows[rows[["val", HEADLINE[task]]].notna().all(axis=1) & ~rows["leaky"]]
    records: list[dict[Any, Any]] = rows.to_dict("records")
    if able.empty:
        return records

    @cache
    def predictions(experiment: str, backbone: str, rule: str) -> pd.DataFrame | None:
        return read_predictions(experiment, task, backbone, rule, split)

    first = int(able.index[0])
    best = rows.iloc[first]
    behind: dict[int, Difference] = {}
    for i in (i for i in range(len(rows)) if i != first):
        own, other = (predictions(*each[["experiment", "backbone", RULE]]) for each in (rows.iloc[i], best))
        found = difference(rows.iloc[i], best, own, other, samples)
        behind |= {} if found is None else {i: found}
    seeds = by_seed(rows.loc[[first, *behind]], HEADLINE[task])
    behind = hold(behind, len(behind) + 1)
    for i, about in enumerate(records):
        about |= dict(zip(BEHIND, Difference(0.0) if i == first else behind.get(i, ()), strict=False))
        about |= dict(zip(SEEDED, seeds.get(i, ()), strict=False))
        about["says"] = BEST if i == first else say(behind.get(i), seeds.get(i))
    return records


def by_seed(rows: pd.DataFrame, metric: str) -> dict[int, Difference]:
    """The mean of `metric` over seeds minus that of the first row's seeds, by row, with p held for all pairs.

    Args:
        rows: rows of one task, scored on the same images; those that have SETTING in common differ in the seed alone.
        metric: one of METRICS.

    Returns:
        Row → difference, where both have FEWEST seeds or more, and not of the first row's own seeds.
    """
    if "seed" not in rows:
        return {}
    members = {key: list(group.index) for key, group in rows.groupby(SETTING, sort=False)}
    runs = {key: rows.loc[at].drop_duplicates("seed").set_index("seed")[metric].dropna() for key, at in members.items()}
    runs = {key: values for key, values in runs.items() if len(values) >= FEWEST}
    base = runs.get(tuple(rows.iloc[0][SETTING]))
    if base is None:
        return {}
    found = {key: Difference(*seeds_apart(values, base)) for key, values in runs.items() if values is not base}
    return {i: each for key, each in hold(found, len(runs)).items() for i in members[key]}


def hold(found: Mapping[Any, Difference], among: int) -> dict[Any, Difference]:
    """The same differences, with their p held by Holm's method for all pairs of the `among` that were compared.

    Only differences from the best are found, but the best was picked by such scores: among equals, the luckiest would
    seem to differ too often. So the pairs of others count as well, with a p of 1.
    """
    p = {str(key): each.p for key, each in found.items() if each.p is not None}
    others = {f"other pair {n}": 1.0 for n in range(among * (among - 1) // 2 - len(p))}
    held = compare.holm({**p, **others})
    return {key: each._replace(p=held.get(str(key))) for key, each in found.items()}


def difference(
    row: pd.Series, best: pd.Series, own: pd.DataFrame | None, other: pd.DataFrame | None, samples: int
) -> Difference | None:
    """The HEADLINE of `row` minus that of `best`; None if it is undefined or of other images.

    Args:
        row: a row of tables.tabulate.
        best: another, of the same task.
        own: predictions of `row` with decisions, or None where they are in no cache.
        other: those of `best`.
        samples: resamples of lesions for the paired interval.

    Returns:
        Where both predictions are there, value, interval and p are of these, paired. Else the interval is what the two
        scores' own intervals leave open, which is wider than a paired one: it excludes 0 where they lie apart. Its p is
        that of a normal distribution as wide.
    """
    metric = HEADLINE[row["task"]]
    value = row[metric] - best[metric]
    if own is not None and other is not None:
        if not compare.alike(own, other):
            return None
        held_out, part = holds_out(row), str(own["split"].iloc[0])
        free = drawn_freely(part, held_out, bool(row.get("patients")))
        tables, classes = {"a": own, "b": other}, classes_of(row["task"])
        pair = compare.paired_differences(tables, classes, samples, seed=0, free=free)["a - b"]
        low, high = pair.get(f"{metric}_ci", (None, None))
        return None if pair[metric] is None else Difference(pair[metric], low, high, pair.get(f"{metric}_p"))
    images = [name for name in row.index if str(name).startswith(("dataset.", "split."))]
    if pd.isna(value) or not row[images].equals(best[images]):
        return None
    if pd.isna(row["low"]) or pd.isna(best["low"]):
        return Difference(value)
    reach = (row["high"] - row["low"] + best["high"] - best["low"]) / 2
    p = float(2 * norm.sf(Z * abs(value) / reach)) if reach else None
    return Difference(value, row["low"] - best["high"], row["high"] - best["low"], p)


def say(behind: Difference | None, seeds: Difference | None = None) -> str:
    """What can be said of a difference: OTHER, SAME, SEEDS or ONE_SEED.

    Args:
        behind: the difference, its p held for all pairs; None where the two were not scored on the same images.
        seeds: the same of the means over seeds; None where there are too few.
    """
    if behind is None:
        return OTHER
    if not behind.shown:
        return SAME
    return SEEDS if seeds is not None and seeds.shown and seeds.value * behind.value > 0 else ONE_SEED
