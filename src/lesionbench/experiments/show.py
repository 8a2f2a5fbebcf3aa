"""Tables of experiments in the terminal."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lesionbench.evidence.names import HEADLINE
from lesionbench.experiments import against
from lesionbench.experiments.tables import METRICS

AGAINST = "minus the best on val, p held for all pairs"
FOLDS = {
    "val": "validation folds, on which calibration and the epoch were chosen",
    "test": "out-of-fold predictions",
}


def with_bounds(value: float, low: float, high: float, sign: bool = False) -> str:
    """A number and its interval as "0.912 [0.881, 0.933]"; "" where it is undefined.

    Examples:
        >>> with_bounds(0.912, 0.8811, 0.9333), with_bounds(-0.02, float("nan"), float("nan"), sign=True)
        ('0.912 [0.881, 0.933]', '-0.020')
    """
    plus = "+" if sign else ""
    if pd.isna(value):
        return ""
    return f"{value:{plus}.3f}" + ("" if pd.isna(low) else f" [{low:{plus}.3f}, {high:{plus}.3f}]")


def overview(made: pd.DataFrame, split: str) -> None:
    """Print the result of against.overview, a table a task."""
    for task, rows in made.groupby("task", sort=False):
        headline = HEADLINE[str(task)]
        order = [headline, *(metric for metric in METRICS if metric != headline)]
        lines = []
        records: Any = rows.to_dict("records")
        for row in records:
            scores = {metric: with_bounds(row[metric], float("nan"), float("nan")) for metric in order}
            scores[headline] = with_bounds(row[headline], row["low"], row["high"])
            if split != "val":
                scores = {f"{headline} on val": with_bounds(row["val"], float("nan"), float("nan")), **scores}
            behind = with_bounds(row["behind"], row["behind_low"], row["behind_high"], sign=True)
            behind += "" if pd.isna(row["p_holm"]) else f", p {row['p_holm']:.3f}"
            says = row["says"] if isinstance(row["says"], str) else ""
            lines.append(
                {
                    "experiment": row["experiment"],
                    "changed": _changed(row),
                    "backbone": row["backbone"],
                    **scores,
                    AGAINST: says if says in (against.BEST, against.OTHER) else f"{behind}: {says}",
                }
            )
        name = headline.replace("_", " ")
        chosen = "" if split == "val" else f"; the order is val's, and the first was chosen on val by its {name}"
        _print(lines, f"{task}: scores on {split}, {name} with its 95 % interval over lesions{chosen}")


def gathered(made: pd.DataFrame, split: str) -> None:
    """Print the results of replicates.gather and replicates.pool, a table a task and kind."""
    titles = {
        "runs": "mean ± standard deviation of the runs [95 % interval of the mean over seeds]",
        "pairs": "difference, run by run with the same seed [95 % interval over seeds]",
        "folds": f"{FOLDS[split]}, pooled [95 % interval over lesions]",
    }
    for (task, of), rows in made.groupby(["task", "of"], sort=False):
        lines = []
        keys = ["commit", "changed", "minus", "leaky", "backbone"]
        for key, group in rows.groupby(keys, sort=False, dropna=False):
            about: Mapping[str, Any] = dict(zip(keys, key, strict=True))
            records: Any = group.to_dict("records")
            told = {row["metric"]: _mean(row, of == "pairs") for row in records}
            minus = {"minus": about["minus"]} if of == "pairs" else {}
            line = {"changed": _changed(about), **minus, "backbone": about["backbone"]}
            lines.append({**line, **{metric: told.get(metric, "") for metric in METRICS}, "runs": _runs(group)})
        _print(lines, f"{task} on {split}: {titles[str(of)]}")


def _runs(group: pd.DataFrame) -> str:
    n, folds = group["n"].max(), group["folds"].max()
    return f"{n}" if pd.isna(folds) else f"{n} of {folds:.0f} folds"


def _mean(row: Mapping[str, Any], sign: bool) -> str:
    text = with_bounds(row["mean"], row["low"], row["high"], sign)
    spread = "" if pd.isna(row["sd"]) or not text else f" ± {row['sd']:.3f}"
    number, _, bounds = text.partition(" ")
    return f"{number}{spread}{f' {bounds}' if bounds else ''}"


def _changed(row: Mapping[str, Any]) -> str:
    return " ".join(filter(None, ["LEAKY" if row["leaky"] else "", row["changed"] or "(the commit)"]))


def _print(lines: Sequence[Mapping[str, Any]], title: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in lines[0]:
        table.add_column(str(name).replace("_", " "), justify="right" if name in METRICS else "left")
    for line in lines:
        table.add_row(*(escape(str(each)) for each in line.values()))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
