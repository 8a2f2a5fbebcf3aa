"""Sentences on what a network loses on images from elsewhere, and on what differs there."""

from collections.abc import Mapping
from typing import Any

from lesionbench.evidence.names import METRICS
from lesionbench.report.formats import in_line, interval, number


def drop(comparison: Mapping[str, Any], cohort: str) -> str:
    """By how much the chosen backbone's melanoma AUC on `cohort` is below that on test; "" while test is sealed."""
    found = comparison.get("transfer", {}).get(cohort)
    if found is None:
        return ""
    value, ci = found["roc_auc"], found.get("roc_auc_ci")
    if value is None:
        return "The loss against test is not defined: one of the two lacks melanomas, or has nothing else."
    chosen = f"The melanoma ROC AUC of {comparison['chosen']}"
    if ci is None:
        return f"{chosen} is {number(abs(value))} {_side(value)} that on test; too few lesions for an interval."
    told = f"{chosen} is {number(abs(value))} {_side(value)} that on test (test minus cohort {interval(ci, sign=True)})"
    return f"{told}." if ci[0] > 0 or ci[1] < 0 else f"{told}: no difference is shown."


def _side(value: float) -> str:
    return "below" if value >= 0 else "above"


def differs(comparison: Mapping[str, Any], cohort: str) -> str:
    """What differs between test and `cohort` beside the pictures; "" while test is sealed."""
    found = comparison.get("transfer", {}).get(cohort)
    if found is None:
        return ""
    here, there = found["test"], found["cohort"]
    parts = [
        f"{number(there['n'], 0)} images (test {number(here['n'], 0)})",
        f"{number(100 * there['prevalence'], 1)} % melanomas (test {number(100 * here['prevalence'], 1)} %)",
        f"mean age {_age(there)} (test {_age(here)})",
        f"sources {_sources(there)} (test {_sources(here)})",
    ]
    return f"What differs: {', '.join(parts)}. Age and prevalence may explain a part; cameras and skin another."


def repeats(evaluation: Mapping[str, Any], cohort: str, metric: str) -> str:
    """How the scores change with the images that show a lesion of the trainable cohort; "" where there are none."""
    every = evaluation.get("with_repeats", {}).get(cohort)
    without = evaluation["external"].get(cohort)
    if every is None or without is None:
        return ""
    more = every["n"] - without["n"]
    told = f"{number(more, 0)} more show a lesion that was trained or validated on, or tested, and are left out here"
    if None in (every[metric], without[metric]):
        return f"{told}."
    both = f"{in_line(every, metric)} instead of {in_line(without, metric)}"
    return f"{told}; with them the {METRICS[metric].label} is {both}."


def _age(population: Mapping[str, Any]) -> str:
    return "unknown" if population["mean_age"] is None else number(population["mean_age"], 0)


def _sources(population: Mapping[str, Any]) -> str:
    return ", ".join(population["sources"]) or "unknown"
