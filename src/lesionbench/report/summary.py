"""The summary of all backbones, metrics/summary.json, and the one that val chose. Nothing is estimated here."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lesionbench import results
from lesionbench.evidence.names import HEADLINE, METRICS
from lesionbench.report.formats import DECIMALS, number


class Lead(NamedTuple):
    """The backbone that val chose by the HEADLINE metric, its score, and how it differs from the next one on val.

    `ties` are others that show the same number on val. `next`, `differs` (chosen minus next, on the split shown), its
    interval and its p, held for all pairs by Holm's method, are None where there is one backbone or nothing to tell.
    """

    metric: str
    split: str
    chosen: str
    ties: list[str]
    val: float
    score: float
    score_ci: Sequence[float] | None
    chance: float
    next: str | None = None
    differs: float | None = None
    differs_ci: Sequence[float] | None = None
    p: float | None = None


def summarise(dataset: str, leaky: bool, tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The scores of all backbones and of the ensemble: {"dataset", "leaky", task: {name: {metric: number or None}}}.

    Metrics of the validation split go by `val_<name>` and come first; those of the test split go by their names, and
    are not there while it is sealed. Beside some stands `<metric>_ci`, their 95 % interval.

    Args:
        dataset: name of the trainable cohort.
        leaky: whether the split leaks.
        tasks: what `inputs.read_tasks` gives.
    """

    def numbers(scores: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        names = [each for metric in results.METRICS for each in (metric, f"{metric}_ci") if each in scores]
        return {f"{prefix}{name}": scores[name] for name in names}

    rows = {
        task: {
            name: numbers(each["val"], "val_") | numbers(each["test"] or {}) for name, each in found["members"].items()
        }
        for task, found in tasks.items()
    }
    return {"dataset": dataset, "leaky": leaky, **rows}


def best(rows: Mapping[str, Mapping[str, Any]], metric: str) -> set[str]:
    """The names of the rows with the best value of `metric` as it is shown; none where all rows show the same.

    Args:
        rows: name → scores on val, a number or None a metric.
        metric: one of METRICS.
    """
    shown = {name: round(row[metric], DECIMALS) for name, row in rows.items() if row[metric] is not None}
    if len(set(shown.values())) < 2:
        return set()
    top = (max if METRICS[metric].higher else min)(shown.values())
    return {name for name, value in shown.items() if value == top}


def lead(task: str, evaluations: Mapping[str, Any], comparison: Mapping[str, Any]) -> Lead | None:
    """The backbone that val chose; None where its score is undefined on val or on the split shown.

    Args:
        task: one of HEADLINE.
        evaluations: backbone → its evaluation, with `val` and `test`.
        comparison: what compare found: `split`, `chosen` and `differences`.
    """
    metric, split, chosen = HEADLINE[task], comparison["split"], comparison["chosen"]
    val = {name: each["val"][metric] for name, each in evaluations.items() if each["val"][metric] is not None}
    scores = evaluations[chosen][split]
    if chosen not in val or scores[metric] is None:
        return None
    others = sorted((name for name in val if name != chosen), key=lambda name: -val[name])
    ties = [name for name in others if number(val[name]) == number(val[chosen])]
    chance = 0.5 if metric == "roc_auc" else 1 / len(scores["per_class"])
    found = Lead(metric, split, chosen, ties, val[chosen], scores[metric], scores.get(f"{metric}_ci"), chance)
    if not others:
        return found
    sign, pair = 1, comparison["differences"].get(f"{chosen} - {others[0]}")
    if pair is None:
        sign, pair = -1, comparison["differences"][f"{others[0]} - {chosen}"]
    if pair[metric] is None:
        return found
    ci = pair.get(f"{metric}_ci")
    ci = sorted(sign * bound for bound in ci) if ci else None
    return found._replace(next=others[0], differs=sign * pair[metric], differs_ci=ci, p=pair.get(f"{metric}_p_holm"))


def by_cohort(rows: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The scores on external cohorts as cohort → name → scores; `rows` has them by name first."""
    cohorts = next(iter(rows.values()))["external"]
    return {cohort: {name: each["external"][cohort] for name, each in rows.items()} for cohort in cohorts}


def compared(differences: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The metrics that paired differences are of; `differences` has one pair or more."""
    return [name for name in METRICS if name in next(iter(differences.values()))]


def measured_points(parts: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Where operating points were measured, val first: (heading, point → sensitivity, specificity, …)."""
    found = [("val, where it was chosen", parts["val"]), ("test", parts["test"]), *parts["external"].items()]
    return [(name, scores["operating_points"]) for name, scores in found if scores is not None]
