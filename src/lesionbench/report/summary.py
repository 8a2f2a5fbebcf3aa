"""The summary of all backbones, metrics/summary.json, and which of them is best. Nothing is estimated here."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lesionbench.evidence.names import METRICS
from lesionbench.report.formats import DECIMALS, number

HEADLINE = {"melanoma": "roc_auc", "diagnosis": "balanced_accuracy"}


class Lead(NamedTuple):
    """The backbones with the best HEADLINE metric on test, and what leads the next one.

    `best` has several names where they show the same number. `next`, `ahead` (a difference above 0) and `ahead_ci`
    (its interval) are None where several lead, or where there is one backbone.
    """

    metric: str
    best: list[str]
    score: float
    score_ci: Sequence[float] | None
    chance: float
    next: str | None = None
    ahead: float | None = None
    ahead_ci: Sequence[float] | None = None


def summarise(dataset: str, leaky: bool, tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The scores of all backbones: {"dataset", "leaky", task: {backbone: {metric: number or None}}}.

    Metrics of the test split go by their names, those of the validation split by `val_<name>`. The ensemble has those
    of the test split alone. What is no single number is left out.

    Args:
        dataset: name of the trainable cohort.
        leaky: whether the split leaks.
        tasks: what `inputs.read_tasks` gives.
    """

    def numbers(scores: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        return {f"{prefix}{name}": value for name, value in scores.items() if not isinstance(value, dict | list)}

    def row(backbone: str, task: Mapping[str, Any]) -> dict[str, Any]:
        val = task["evaluate"][backbone]["val"] if backbone in task["evaluate"] else {}
        return numbers(task["test"][backbone]) | numbers(val, "val_")

    rows = {name: {backbone: row(backbone, task) for backbone in task["test"]} for name, task in tasks.items()}
    return {"dataset": dataset, "leaky": leaky, **rows}


def best(rows: Mapping[str, Mapping[str, Any]], metric: str) -> set[str]:
    """The names of the rows with the best value of `metric` as it is shown; none where all rows show the same.

    Args:
        rows: name → scores, a number or None a metric.
        metric: one of METRICS.
    """
    shown = {name: round(row[metric], DECIMALS) for name, row in rows.items() if row[metric] is not None}
    if len(set(shown.values())) < 2:
        return set()
    top = (max if METRICS[metric].higher else min)(shown.values())
    return {name for name, value in shown.items() if value == top}


def lead(task: str, evaluations: Mapping[str, Any], differences: Mapping[str, Any]) -> Lead | None:
    """The backbones with the best HEADLINE metric on test; None where it is undefined.

    Args:
        task: one of HEADLINE.
        evaluations: backbone → its evaluation, with `test`.
        differences: "a - b" → differences, as `compare.paired_differences` gives them.
    """
    metric = HEADLINE[task]
    tests = {name: each["test"] for name, each in evaluations.items() if each["test"][metric] is not None}
    if not tests:
        return None
    first, *others = sorted(tests, key=lambda name: -tests[name][metric])
    score = tests[first][metric]
    ties = [name for name in others if number(tests[name][metric]) == number(score)]
    chance = 0.5 if metric == "roc_auc" else 1 / len(tests[first]["per_class"])
    found = Lead(metric, [first, *ties], score, tests[first].get(f"{metric}_ci"), chance)
    if ties or not others:
        return found
    sign, pair = 1, differences.get(f"{first} - {others[0]}")
    if pair is None:
        sign, pair = -1, differences[f"{others[0]} - {first}"]
    ci = pair.get(f"{metric}_ci")
    ahead_ci = sorted(sign * bound for bound in ci) if ci else None
    return found._replace(next=others[0], ahead=sign * pair[metric], ahead_ci=ahead_ci)


def by_cohort(evaluations: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The scores on external cohorts as cohort → backbone → scores; `evaluations` has them by backbone first."""
    cohorts = next(iter(evaluations.values()))["external"]
    return {cohort: {name: each["external"][cohort] for name, each in evaluations.items()} for cohort in cohorts}


def compared(differences: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The metrics that paired differences are of; `differences` has one pair of backbones or more."""
    return [name for name in next(iter(differences.values())) if not name.endswith("_ci")]


def measured_points(evaluation: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Where the operating points of one backbone were measured: (heading, point → sensitivity, specificity)."""
    parts = [("val, where it was chosen", evaluation["val"]), ("test", evaluation["test"])]
    return [(name, scores["operating_points"]) for name, scores in (*parts, *evaluation["external"].items())]
