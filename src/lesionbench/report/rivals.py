"""What a network gains over trivial predictors, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from lesionbench.evidence.names import METRICS, RIVALS, SKILLS
from lesionbench.report.formats import estimate, interval, number

LABELS = {
    "roc_auc": METRICS["roc_auc"].label,
    "melanoma_roc_auc": f"{METRICS['roc_auc'].label} of melanoma",
    "balanced_accuracy": METRICS["balanced_accuracy"].label,
    "log_loss_skill": SKILLS["log_loss_skill"].label,
}
UNDEFINED = "a class does not occur"


def compared(task: str) -> dict[str, str]:
    """The metrics of a gain, a key of results.Gain → its label; of melanoma against the rest the first two are one."""
    return {name: label for name, label in LABELS.items() if name != "roc_auc" or task != "melanoma"}


def score(scores: Mapping[str, Any], metric: str, constant: bool = False) -> Markup:
    """A score with its interval, as results.Scores has it; that of a `constant` is known, so it has none."""
    of, name = (scores["melanoma"], "roc_auc") if metric == "melanoma_roc_auc" else (scores, metric)
    return estimate(of[name], None if constant else of.get(f"{name}_ci"), UNDEFINED)


def beside(rivals: Mapping[str, Any], part: str) -> dict[str, dict[str, Any]]:
    """The scores of the trivial predictors on one part of the images, to stand below those of the networks.

    The constant has its decisions by the rule `likeliest`: it names val's commonest class, which is what an accuracy
    has to beat; the split sets that share, so it has no interval. By another rule it may name any class. By lesion its
    accuracy is not measured so, and left out.

    Args:
        rivals: name → its evaluation, as in results.Rivals.
        part: val, test or the name of an external cohort.
    """
    found = {
        name: {**(each[part] if part in ("val", "test") else each["external"][part])} for name, each in rivals.items()
    }
    constant = found["constant"]
    decided = {n: v for n, v in constant["decisions"]["likeliest"].items() if not n.endswith("_ci")}
    cut = {name: value for name, value in constant.items() if name.removesuffix("_ci") not in decided}
    by_lesion = {n: v for n, v in constant["by_lesion"].items() if n.removesuffix("_ci") != "accuracy"}
    return found | {"constant": {**cut, **decided, "by_lesion": {**by_lesion, "accuracy": None}}}


def verdict(gain: Mapping[str, Any], metric: str, resamples: int) -> str:
    """Whether a gain is shown: `gain`, `loss`, `no gain shown`, or why that cannot be said.

    Args:
        gain: as in results.Gain.
        metric: one of LABELS.
        resamples: how many the intervals are of; with 0 there are none.
    """
    ci = gain.get(f"{metric}_ci")
    if gain[metric] is None:
        return "not defined"
    if ci is None:
        return "too few lesions to say" if resamples else "no intervals were asked for"
    return "gain" if ci[0] > 0 else "loss" if ci[1] < 0 else "no gain shown"


def lead(backbone: str, where: str, found: Mapping[str, Any], resamples: int) -> Markup:
    """One sentence: what a backbone gains over each rival in ranking melanomas.

    Args:
        backbone: its name.
        where: the images, such as "test split".
        found: gains there, as in results.Gains. Where no image has metadata, nothing is said of that rival.
        resamples: how many the intervals are of.
    """
    metric, parts = "melanoma_roc_auc", []
    for rival, gain in found["gains"][backbone].items():
        if rival == "metadata" and not found["with_metadata"]:
            parts.append(Markup("over {}: not known of these images").format(RIVALS[rival]))
            continue
        said, ci = verdict(gain, metric, resamples), gain.get(f"{metric}_ci")
        small = Markup(' <span class="nowrap">({})</span>').format(interval(ci, sign=True)) if ci else ""
        amount = "" if gain[metric] is None else f", {number(gain[metric], sign=True)}"
        parts.append(Markup("over {}: {}{}{}").format(RIVALS[rival], said, amount, small))
    start = Markup("What <strong>{}</strong> gains in {} on {}: ").format(backbone, LABELS[metric], where)
    return start + Markup("; ").join(parts) + "."


def unknown(n: int, with_metadata: int) -> str:
    """That images lack age, sex and site; "" where all have some.

    Args:
        n: images.
        with_metadata: those with age, sex or site.
    """
    if n == with_metadata:
        return ""
    some = "No image has" if not with_metadata else f"{number(n - with_metadata, 0)} of {number(n, 0)} images lack"
    return f"{some} age, sex and site: there this rival says no more than class shares."


def names(rows: Sequence[str]) -> dict[str, str]:
    """Name of a row → what the page calls it: a rival by its words, a backbone by its name."""
    return {name: RIVALS.get(name, name) for name in rows}
