"""Tables of experiments in the terminal."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from lesionbench.evidence.names import HEADLINE
from lesionbench.experiments import against, as_one
from lesionbench.experiments.tables import COMMIT, METRICS

AGAINST = "minus the best on val, p held for all pairs"
FOLDS = {
    "val": "validation folds, on which calibration and the epoch were chosen",
    "test": "out-of-fold predictions",
}
MEANS = {
    "external": "mean of the folds' calibrated probabilities",
    "seeds": "mean of the trainings' calibrated probabilities, calibrated once more on val",
}
LEFT_OUT = (
    "These intervals hold for these networks, which share training images. They leave out what another seed, or "
    "another split of the lesions, would change."
)
PARAMETER = re.compile(r" (?=(?:seed|tasks|backbones|[a-z]+\.[a-z_]+)=)")  # before the next of "seed=1 train.epochs=5"
LONG = 60  # characters of parameters, from which on they are told below the table


def shared(every: Iterable[str]) -> list[str]:
    """The parameters that all experiments of a recipe have in common: those that changed more than LONG characters.

    Args:
        every: what each experiment changed, as tables.changed tells it.

    Examples:
        >>> recipe = "pixels.size=224 train.weights=imagenet train.metadata=[age, sex, localization]"
        >>> shared(["", "train.epochs=5", f"{recipe} seed=1", f"{recipe} seed=2"])
        ['pixels.size=224', 'train.weights=imagenet', 'train.metadata=[age, sex, localization]']
        >>> shared(["seed=1 train.epochs=5", "seed=2 train.epochs=5"])
        []
    """
    recipes = [PARAMETER.split(each) for each in every if len(each) > LONG]
    alike = [one for one in recipes[0] if all(one in each for each in recipes)] if recipes else []
    return alike if len(" ".join(alike)) > LONG else []


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
        lines, alike = [], shared(rows["changed"])
        records: Any = rows.to_dict("records")
        for row in records:
            scores = {metric: with_bounds(row[metric], float("nan"), float("nan")) for metric in order}
            scores[headline] = with_bounds(row[headline], row["low"], row["high"])
            if split != "val":
                scores = {
                    f"{headline} on val".replace("_", " "): with_bounds(row["val"], float("nan"), float("nan")),
                    **scores,
                }
            behind = with_bounds(row["behind"], row["behind_low"], row["behind_high"], sign=True)
            behind += "" if pd.isna(row["p_holm"]) else f", p {row['p_holm']:.3f}"
            says = row["says"] if isinstance(row["says"], str) else ""
            lines.append(
                {
                    "experiment": row["experiment"],
                    "changed": _changed(row, alike),
                    "backbone": row["backbone"],
                    **scores,
                    AGAINST: says if says in (against.BEST, against.OTHER) else f"{behind}: {says}",
                }
            )
        name = headline.replace("_", " ")
        chosen = "" if split == "val" else f"; the order is val's, and the first was chosen on val by its {name}"
        _print(lines, f"{task}: scores on {split}, {name} with its 95 % interval over lesions{chosen}", alike)


def gathered(made: pd.DataFrame, split: str) -> None:
    """Print the result of replicates.gather, a table a task and kind."""
    titles = {
        "runs": "mean ± standard deviation of the runs [95 % interval of the mean over seeds]",
        "pairs": "difference, run by run with the same seed [95 % interval over seeds]",
    }
    several = made["commit"].nunique() > 1
    for (task, of), rows in made.groupby(["task", "of"], sort=False):
        lines, alike = [], shared([*rows["changed"], *rows["minus"].dropna()])
        keys = ["commit", "changed", "minus", "leaky", "backbone"]
        for key, group in rows.groupby(keys, sort=False, dropna=False):
            about: Mapping[str, Any] = dict(zip(keys, key, strict=True))
            records: Any = group.to_dict("records")
            told = {row["metric"]: _mean(row, of == "pairs") for row in records}
            minus = {"minus": _rest(about["minus"], alike)} if of == "pairs" else {}
            commit = {"commit": about["commit"]} if several else {}
            line = {**commit, "changed": _changed(about, alike), **minus, "backbone": about["backbone"]}
            lines.append({**line, **{metric: told.get(metric, "") for metric in METRICS}, "runs": group["n"].max()})
        _print(lines, f"{task} on {split}: {titles[str(of)]}", alike)


def pooled(made: pd.DataFrame, split: str) -> None:
    """Print scores of folds.pool and seeds.average, a table a task and set of images, a row a metric, a column a model.

    `changed` is told from the first commit, so the columns of several commits have the commit's name too.
    """
    several = made["commit"].nunique() > 1
    keys: Any
    for keys, rows in made.groupby(["task", "of", "cohort"], sort=False, dropna=False):
        task, of, cohort = keys
        alike = shared(rows["changed"])
        lines: dict[str, dict[str, str]] = {
            metric: {"metric": metric.replace("_", " ").replace(".", ": ")} for metric in as_one.METRICS[str(task)]
        }
        for _, group in rows.groupby(["commit", "changed", "leaky", "backbone"], sort=False):
            records: Any = group.to_dict("records")
            name = (f"{records[0]['commit']}\n" if several else "") + _heading(records[0], alike)
            for row in records:
                told = with_bounds(row["mean"], row["low"], row["high"])
                if of in MEANS and told:
                    told += f"\nalone {row['single']:.3f} ({row['min']:.3f} to {row['max']:.3f})"
                lines[row["metric"]][name] = told
        about = MEANS.get(str(of), f"{FOLDS[split]}, pooled")
        about += ", which chose the epochs too" if of == "seeds" and split == "val" else ""
        drawn = "[95 % interval over lesions]" if pd.isna(cohort) else "[95 % interval, lesions drawn freely]"
        alone = ", and each training alone: mean (range)" if of in MEANS else ""
        title = f"{task} on {split if pd.isna(cohort) else cohort}: {about} {drawn}{alone}"
        _print([*lines.values()], title, alike)
    if len(made):
        print(LEFT_OUT)


def _heading(row: Mapping[str, Any], alike: Sequence[str]) -> str:
    number = f"{row['n']} trainings" if pd.isna(row["folds"]) else f"{row['n']} of {row['folds']:.0f} folds"
    number += f", without {row['without']}" if row["without"] else ""
    return f"{_changed(row, alike)}\n{row['backbone']}\n{number}\n{row['images']:,} images, {row['lesions']:,} lesions"


def _mean(row: Mapping[str, Any], sign: bool) -> str:
    text = with_bounds(row["mean"], row["low"], row["high"], sign)
    spread = "" if pd.isna(row["sd"]) or not text else f" ± {row['sd']:.3f}"
    number, _, bounds = text.partition(" ")
    return f"{number}{spread}{f' {bounds}' if bounds else ''}"


def _changed(row: Mapping[str, Any], alike: Sequence[str]) -> str:
    return " ".join(filter(None, ["LEAKY" if row["leaky"] else "", _rest(row["changed"] or COMMIT, alike)]))


def _rest(changed: str, alike: Sequence[str]) -> str:
    """What an experiment changed, with a star for the parameters that are told below the table."""
    parts = PARAMETER.split(changed)
    if not alike or not {*alike} <= {*parts}:
        return changed
    return " ".join(["*", *(each for each in parts if each not in alike)])


def _print(lines: Sequence[Mapping[str, Any]], title: str, alike: Sequence[str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    caption = escape(f"* stands for {' '.join(alike)}") if alike else None
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    for name in lines[0]:
        number = name in METRICS
        table.add_column(name.replace("_", " ") if number else escape(name), justify="right" if number else "left")
    for line in lines:
        table.add_row(*(escape(str(each)) for each in line.values()))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
