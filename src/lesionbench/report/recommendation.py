"""What the page recommends for use, and where it says that there is too little to recommend anything."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lesionbench.core.tasks import DIAGNOSES
from lesionbench.evidence.intervals import MIN_LESIONS
from lesionbench.evidence.names import TASKS
from lesionbench.report.formats import interval, number

SHORT = 0.05  # a sensitivity whose interval reaches that far below the wanted one does not hold the promise
NEEDED = "±0.05"


class Choice(NamedTuple):
    """The task whose chosen backbone ranks melanomas best on val, that backbone, and the point to call melanoma at.

    `point` is the name of the operating point with the highest wanted sensitivity, `wanted`; None where val has no
    melanoma to choose a threshold on.
    """

    task: str
    backbone: str
    val: Mapping[str, Any]
    point: str | None
    wanted: float | None


def choose(tasks: Mapping[str, Mapping[str, Any]]) -> Choice:
    """What to recommend, by val alone.

    Args:
        tasks: what `inputs.read_tasks` gives, one task or more.
    """

    def rank(task: str) -> float:
        auc = tasks[task]["evaluate"][tasks[task]["compare"]["chosen"]]["val"]["melanoma"]["roc_auc"]
        return -1.0 if auc is None else float(auc)

    task = max(tasks, key=rank)
    backbone = tasks[task]["compare"]["chosen"]
    val = tasks[task]["evaluate"][backbone]["val"]
    wanted = [float(name.removeprefix("sensitivity_")) for name in val.get("operating_points", {})]
    highest = max(wanted, default=None)
    return Choice(task, backbone, val, None if highest is None else f"sensitivity_{highest:g}", highest)


def measured(choice: Choice, task: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Where the choice was measured: (name, scores, use), test and external cohorts; val alone while test is sealed."""
    scores, used = task["evaluate"][choice.backbone], task["compare"]["deployment"]
    if scores["test"] is None:
        return [("val, where it was chosen", scores["val"], used["val"])]
    cohorts = [(name, each, used["external"][name]) for name, each in scores["external"].items()]
    return [("test", scores["test"], used["test"]), *cohorts]


def verdict(choice: Choice, task: Mapping[str, Any], phantom: bool, leaky: bool) -> tuple[str, list[str]]:
    """The first sentence, whether anything is recommended, and what speaks against it on each part of the images."""
    if phantom:
        return "No recommendation: the images are drawings. What follows shows the form only.", []
    if leaky:
        return "No recommendation: the split leaks on purpose, and its scores are too high.", []
    if task["compare"]["split"] == "val":
        sealed = "the test split is sealed, and the thresholds were chosen on val, the images shown"
        return f"No recommendation yet: {sealed}.", []
    if choice.point is None:
        return "No recommendation: val has no melanoma to choose a threshold on.", []
    found = {name: "; ".join(_faults(choice, scores, use)) for name, scores, use in measured(choice, task)}
    faults = [f"{name}: {told}." for name, told in found.items() if told]
    if faults:
        return "Not recommended for use on patients.", faults
    return "No fault was found on these images. A trial with patients of the clinic that will use it comes next.", []


def _faults(choice: Choice, scores: Mapping[str, Any], use: Mapping[str, Any]) -> Iterator[str]:
    """What speaks against the choice on one part of the images."""
    point = scores["operating_points"][choice.point]
    ci = point.get("sensitivity_ci")
    if point["sensitivity"] is None:
        yield "no melanoma to measure the sensitivity on"
    elif use["melanomas"] < MIN_LESIONS:
        yield f"too few melanomas ({use['melanomas']} lesions) to measure the sensitivity"
    elif ci is None:
        yield "no intervals were asked for"
        return
    elif ci[1] < (choice.wanted or 0):
        yield f"sensitivity {number(point['sensitivity'])} ({interval(ci)}) where {choice.wanted:g} was wanted"
    elif ci[0] < (choice.wanted or 0) - SHORT:
        yield f"the sensitivity may be as low as {number(ci[0])} where {choice.wanted:g} was wanted"
    # Of the risks in the table, that of whoever acts at the recommended threshold: another one says nothing of it.
    nearest = min(use["net_benefit"], key=lambda risk: abs(float(risk) - point["threshold"]))
    if nearest not in useful(use):
        yield (
            "no net benefit over acting on every image or on none is shown for whoever acts from "
            f"{_listed([nearest])} on, the probability nearest the threshold"
        )


def useful(use: Mapping[str, Any]) -> list[str]:
    """The probabilities from which acting by the network is shown to be better than acting on every image or none."""
    return [risk for risk, each in use["net_benefit"].items() if each.get("gain_ci", [0])[0] > 0]


def benefit(use: Mapping[str, Any]) -> str:
    """What the net benefit shows of one part of the images."""
    shown, every = useful(use), list(use["net_benefit"])
    if not shown:
        return f"no gain is shown from any of {_listed(every)}"
    return f"a gain is shown for whoever acts from {_listed(shown)} on" + (
        f", none from {_listed(rest)}" if (rest := [each for each in every if each not in shown]) else ""
    )


def _listed(names: Sequence[str]) -> str:
    percent = [f"{float(name) * 100:g}" for name in names]
    return f"{' or '.join([', '.join(percent[:-1]), percent[-1]] if len(percent) > 1 else percent)} %"


def needed(choice: Choice, scores: Mapping[str, Any], use: Mapping[str, Any]) -> str:
    """How wide the interval of the sensitivity is, and how many lesions would make it ±0.05."""
    point, ci = use["points"][choice.point], scores["operating_points"][choice.point].get("sensitivity_ci")
    if ci is None or point["melanomas_needed"] is None:
        return f"{number(use['melanomas'], 0)} melanoma lesions: too few to say"
    half = number((ci[1] - ci[0]) / 2)
    return (
        f"{number(use['melanomas'], 0)} melanoma lesions give the sensitivity within ±{half}; "
        f"{NEEDED} takes {number(point['melanomas_needed'], 0)}"
    )


def speed(backbone: str, latency: Mapping[str, Mapping[str, str]]) -> str:
    """Size and time of one image; `latency` holds the rows of docs/latency.csv by backbone."""
    row = latency.get(backbone)
    if row is None:
        return "Not measured: python -m benchmarks.latency measures a backbone."
    return (
        f"{number(float(row['parameters']) / 1e6, 1)} million parameters, {row['megabytes']} MB. One image of "
        f"{row['pixels']} pixels a side takes {row['milliseconds']} ms (median of {row['images']}; 95th percentile "
        f"{row['milliseconds_p95']} ms) on {row['machine']}; eight views take eight times as long."
    )


def per_thousand(share: float | None) -> str:
    """A share as a number of 1,000 images."""
    return number(None if share is None else 1000 * share, 0)


def title(choice: Choice) -> str:
    """The recommended network in words."""
    return f"{choice.backbone}, trained for “{TASKS[choice.task].lower()}”"


def cautions(dataset: str, prevalence: float, cohorts: Sequence[str]) -> list[str]:
    """Where not to use it.

    Args:
        dataset: the cohort that was trained on.
        prevalence: share of melanomas among its images, 0 to 1.
        cohorts: external cohorts that it was measured on.
    """
    found = [
        "On photographs by an ordinary camera: all images are through a dermatoscope.",
        f"For other diagnoses than {', '.join(DIAGNOSES)}: it names one of them whatever it sees.",
    ]
    if dataset == "ham10000":
        found += [
            "On dark skin: HAM10000 comes from Austria and Australia, and its skin types are not recorded.",
            "To find lesions: each image shows one that a doctor had chosen to photograph.",
        ]
    found += [
        f"With p(melanoma) taken at its word where melanomas are rarer than the {number(100 * prevalence, 0)} % here, "
        "the share that it is calibrated to.",
        "At other clinics, unless it was measured there first"
        + (f": here it was on {', '.join(cohorts)}." if cohorts else ": here it was nowhere."),
    ]
    return found
