"""Sentences of the page that read differently from case to case. Those that hold HTML escape what is from data."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from lesionbench.evidence.names import METRICS, TASKS
from lesionbench.report import summary
from lesionbench.report.formats import excludes_zero, interval, number, value

USE = "Research use only. Not a medical device."
NO_BREAK = Markup('<span class="nowrap">({})</span>')


def window_title(title: str, phantom: bool, leaky: bool) -> str:
    """The title of the browser's window, which says first that data are drawn or a split leaks."""
    return f"{'PHANTOM DATA: ' if phantom else ''}{'LEAKY SPLIT: ' if leaky else ''}{title}"


def strip(phantom: bool, leaky: bool) -> str:
    """The strip that stays on top of the window; "" where the data are real and the split is not leaky."""
    parts = ["Phantom data: drawings, not patients"] if phantom else []
    return " · ".join([*parts, "Leaky split: scores too high"] if leaky else parts)


def tags(phantom: bool, leaky: bool) -> Markup:
    """The tags behind each section's heading: of phantom data, of a leaky split, both or none."""
    phantom_tag = ' <span class="tag">phantom data</span>' if phantom else ""
    leaky_tag = ' <span class="tag tag-leaky">leaky split</span>' if leaky else ""
    return Markup(phantom_tag + leaky_tag)


def footer(phantom: bool, leaky: bool) -> str:
    """The last line of the page."""
    return f"{USE}{' Phantom data: drawings, not patients.' if phantom else ''}{' Leaky split.' if leaky else ''}"


def print_footer(phantom: bool, leaky: bool) -> str:
    """The line at the foot of each printed page. It holds no quote, as it becomes a string of the style sheet."""
    return f"{'PHANTOM DATA, not patients. ' if phantom else ''}{'LEAKY SPLIT. ' if leaky else ''}{USE}"


def facts(dataset: str, cohorts: Mapping[str, Any], tasks: Mapping[str, Any]) -> Markup:
    """How many images, lesions, external cohorts, tasks and backbones there are.

    Args:
        dataset: name of the trainable cohort.
        cohorts: cohort → its `images` and `lesions`; `dataset` is one of them, the others are external.
        tasks: task → `evaluate` by backbone; one task or more, all with the same backbones.
    """
    own, others = cohorts[dataset], len(cohorts) - 1
    return Markup("Dataset <strong>{}</strong>: {} images of {} lesions{}. {}, {}.").format(
        dataset,
        number(own["images"], 0),
        number(own["lesions"], 0),
        f", and {_count(others, 'external cohort')}" if others else "",
        _count(len(tasks), "task"),
        _count(len(next(iter(tasks.values()))["evaluate"]), "backbone"),
    )


def lead(task: str, evaluations: Mapping[str, Any], differences: Mapping[str, Any]) -> Markup:
    """Which backbone is best on test, how sure that is, and how it does on external cohorts.

    Args:
        task: one of TASKS.
        evaluations: backbone → its evaluation, with `test` and `external`.
        differences: "a - b" → differences, as `compare.paired_differences` gives them.
    """
    first = summary.lead(task, evaluations, differences)
    title = Markup("<strong>{}.</strong>").format(TASKS[task])
    if first is None:
        heading = METRICS[summary.HEADLINE[task]].heading
        return Markup("{} {} is not defined on this test split: a class does not occur in it.").format(title, heading)
    parts = [title, _leaders(first, len(evaluations)), _score(first)]
    if first.ahead_ci is not None:
        parts.append(_ahead(first))
    if len(first.best) == 1:
        external = evaluations[first.best[0]]["external"]
        parts += [_elsewhere(cohort, scores, first.metric) for cohort, scores in external.items()]
    return Markup(" ").join(part for part in parts if part)


def _leaders(first: summary.Lead, count: int) -> Markup:
    names, label = ", ".join(first.best), METRICS[first.metric].label
    if len(first.best) > 1:
        return Markup("<strong>{}</strong> share the highest {} on the test split:").format(names, label)
    if count > 1:
        text = Markup("Of {} backbones, <strong>{}</strong> has the highest {} on the test split:")
        return text.format(count, names, label)
    return Markup("<strong>{}</strong> has this {} on the test split:").format(names, label)


def _score(first: summary.Lead) -> Markup:
    ci, before, after = first.score_ci, Markup(), ""
    if ci:
        before = Markup("95&nbsp;% interval {} to {}; ").format(number(ci[0]), number(ci[1]))
        after = ", which the interval includes" if ci[0] <= first.chance <= ci[1] else ""
    text = Markup("<strong>{}</strong> ({}guessing scores {}{}).")
    return text.format(number(first.score), before, number(first.chance), after)


def _ahead(first: summary.Lead) -> Markup:
    sure = "the interval excludes 0."
    unsure = "the interval includes 0, so this test split cannot tell the two apart."
    return Markup("Its lead over {} is {} {}: {}").format(
        first.next,
        number(first.ahead, sign=True),
        NO_BREAK.format(interval(first.ahead_ci or (), sign=True)),
        sure if excludes_zero(first.ahead_ci) else unsure,
    )


def _elsewhere(cohort: str, scores: Mapping[str, Any], metric: str) -> Markup:
    """What the best backbone scores on an external cohort; nothing where that is undefined."""
    if scores[metric] is None:
        return Markup()
    ci = scores.get(f"{metric}_ci")
    small = Markup(" ") + NO_BREAK.format(interval(ci)) if ci else ""
    return Markup("On the external cohort {} it scores {}{}.").format(cohort, number(scores[metric]), small)


def intervals(resamples: int) -> Markup:
    """What the small grey numbers are; `resamples` of 0 are not told."""
    origin = f" from {number(resamples, 0)} resamples of whole lesions" if resamples else ""
    return Markup("Small grey numbers are 95&nbsp;% intervals{}.").format(origin)


def paired(resamples: int) -> str:
    """How backbones are compared; `resamples` of 0 are not told."""
    count = f"{number(resamples, 0)} " if resamples else ""
    return f"First backbone minus second, on the same {count}resamples of lesions."


def meaning(task: str) -> str:
    """Which classes the metrics of a task, one of TASKS, are of."""
    which = "of the class melanoma" if task == "melanoma" else "means over the seven diagnoses, each against the rest"
    return f"Recall, precision, F1, ROC AUC and average precision are {which}."


def leaks(count: int, leaky: bool) -> Markup:
    """How many groups of images stand in more than one split, and what that means.

    Args:
        count: the groups, 0 or more.
        leaky: whether the split was made so on purpose.
    """
    text = Markup("Groups of images that stand in more than one split: <strong>{}</strong>.").format(number(count, 0))
    if leaky:
        return text + " The split was made by image on purpose; these leaks raise every score in this report."
    return text + " No lesion is seen in training and scored in the test." if count == 0 else text


def strongest(confounders: Mapping[str, Any]) -> Markup:
    """The three variables that go with the diagnosis most; "" where there are none.

    Args:
        confounders: variable → `v_dx`, from 0 to 1 or None, and perhaps its interval `v_dx_ci`; the strongest first.
    """
    parts = []
    for name, found in list(confounders.items())[:3]:
        part = Markup("<strong>{}</strong> {}").format(name, value(found["v_dx"], "there is one diagnosis", 2))
        parts.append(part + " " + NO_BREAK.format(interval(found["v_dx_ci"])) if "v_dx_ci" in found else part)
    return Markup("Strongest here: {}.").format(Markup(", ").join(parts)) if parts else Markup()


def hair(found: Mapping[str, Any]) -> Markup:
    """How much hair was found, and how well where the true masks are known.

    Args:
        found: `images`, `with_hair`, `mean_coverage` (share of an image, 0 to 1), and perhaps `detection` with
            `precision`, `recall` and `dice`, 0 to 1 or None.
    """
    text = Markup("Hair was found and filled in {} of {} images; on average it covers {}&nbsp;% of an image. ").format(
        number(found["with_hair"], 0), number(found["images"], 0), number(100 * found["mean_coverage"], 1)
    )
    detection = found.get("detection")
    if detection is None:
        return text + "There are no true hair masks to measure this against: judge it by eye."
    return text + Markup("Against the true hair masks, pixel by pixel: precision {}, recall {}, Dice {}.").format(
        value(detection["precision"], "no hair was found"),
        value(detection["recall"], "there is no hair"),
        value(detection["dice"], "there is no hair, and none was found"),
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n > 1 else ''}"
