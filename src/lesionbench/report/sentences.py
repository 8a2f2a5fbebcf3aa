"""Sentences of the page that read differently from case to case. Those that hold HTML escape what is from data."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from lesionbench.evidence.names import HEADLINE, METRICS, RULES, TASKS
from lesionbench.report import summary
from lesionbench.report.formats import excludes_zero, interval, number, value

USE = "Research use only. Not a medical device."
SPLITS = {"test": "test split", "val": "validation split"}
# What a training began with.
WEIGHTS = {"none": "random weights", "imagenet": "ImageNet weights"}
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


def lead(task: str, evaluations: Mapping[str, Any], comparison: Mapping[str, Any]) -> Markup:
    """Which backbone val chose, its score on test, how it differs from the next, and its scores on external cohorts.

    Args:
        task: one of TASKS.
        evaluations: backbone → its evaluation, with `val`, `test` and `external`.
        comparison: what compare found: `split`, `chosen` and `differences`.
    """
    first = summary.lead(task, evaluations, comparison)
    title = Markup("<strong>{}.</strong>").format(TASKS[task])
    if first is None:
        metric, chosen = HEADLINE[task], evaluations[comparison["chosen"]]
        where = "validation split" if chosen["val"][metric] is None else SPLITS[comparison["split"]]
        text = Markup("{} {} is not defined on this {}: a class does not occur in it.")
        return text.format(title, METRICS[metric].heading, where)
    parts = [title, _chosen(first, len(evaluations)), _score(first), _sealed(first.split)]
    if first.differs_ci is not None:
        parts.append(_differs(first))
    external = evaluations[first.chosen]["external"]
    parts += [_elsewhere(cohort, scores, first.metric) for cohort, scores in external.items()]
    return Markup(" ").join(part for part in parts if part)


def beginnings(trainings: Mapping[str, Any]) -> str:
    """Which weights each backbone had before its training; "" where all had the same.

    Args:
        trainings: backbone → its training, with `weights`.
    """
    had: dict[str, list[str]] = {}
    for backbone, run in trainings.items():
        had.setdefault(weights(run["weights"]), []).append(backbone)
    if len(had) < 2:
        return ""
    parts = "; ".join(f"{', '.join(backbones)} with {name}" for name, backbones in had.items())
    return f"Not only the networks differ: training began for {parts}."


def weights(name: str) -> str:
    """Words for what a training began with: `none`, `imagenet`, or a file."""
    return WEIGHTS.get(name, name)


def _chosen(first: summary.Lead, count: int) -> Markup:
    label = METRICS[first.metric].label
    where = Markup("On the {} it scores").format(SPLITS[first.split])
    if count == 1:
        return Markup("<strong>{}</strong> was trained alone. {} a {} of").format(first.chosen, where, label)
    ties = f", the same as {', '.join(first.ties)}" if first.ties else ""
    start = Markup("Of {} backbones, <strong>{}</strong> was chosen: it has the highest {} on the validation split")
    start = start.format(count, first.chosen, label)
    if first.split == "val":
        return Markup("{}{}:").format(start, ties)
    return Markup("{}, {}{}. {}").format(start, number(first.val), ties, where)


def _score(first: summary.Lead) -> Markup:
    ci, before, after = first.score_ci, Markup(), ""
    if ci:
        before = Markup("95&nbsp;% interval {} to {}; ").format(number(ci[0]), number(ci[1]))
        after = ", which the interval includes" if ci[0] <= first.chance <= ci[1] else ""
    text = Markup("<strong>{}</strong> ({}guessing scores {}{}).")
    return text.format(number(first.score), before, number(first.chance), after)


def _sealed(split: str) -> str:
    return "" if split == "test" else "The test split is sealed."


def _differs(first: summary.Lead) -> Markup:
    ci = NO_BREAK.format(interval(first.differs_ci or (), sign=True))
    text = Markup("There, this training and that of {} differ by {} {}: {}")
    if not excludes_zero(first.differs_ci):
        end = "the interval includes 0, so no difference is shown."
    elif first.p is not None and first.p >= 0.05:
        end = f"held for all pairs, p is {number(first.p)}, so no difference is shown."
    else:
        end = "another seed may differ by as much."
    return text.format(first.next, number(first.differs, sign=True), ci, end)


def _elsewhere(cohort: str, scores: Mapping[str, Any], metric: str) -> Markup:
    """What the chosen backbone scores on an external cohort; nothing where that is undefined."""
    if scores[metric] is None:
        return Markup()
    ci = scores.get(f"{metric}_ci")
    small = Markup(" ") + NO_BREAK.format(interval(ci)) if ci else ""
    return Markup("On the external cohort {} it scores {}{}.").format(cohort, number(scores[metric]), small)


def why(metric: str, reason: str) -> str:
    """Why a metric is not defined: `reason`, but of the ECE that there are too few lesions."""
    return "too few lesions" if metric == "ece" else reason


def decision(rule: str) -> str:
    """Which rule the decisions follow, a key of RULES."""
    return f"Decisions follow the rule {rule}: {RULES[rule]}."


def seal(split: str) -> str:
    """What is shown while the test split is sealed; "" where it is open."""
    if split == "test":
        return ""
    return (
        "The test split is sealed: all scores are of the validation split. Weights, calibration and thresholds were "
        "chosen on it, so they are too good. When the choice is made, evaluate.test: open shows the test split."
    )


def units(split: Mapping[str, Any]) -> str:
    """What is resampled as a whole, by what the stage split found."""
    return "patients, or lesions whose patient is unknown" if split.get("by_patient") else "lesions"


def left_out(cohorts: Mapping[str, Any]) -> str:
    """How many images of a cohort are of other classes; "" where there are none. `cohorts`: cohort → what it holds."""
    counted = {name: rows["excluded"] for name, rows in cohorts.items() if "excluded" in rows}
    return " ".join(
        f"Left out of {name}, as their class is none of these: {_count(sum(found.values()), 'image')} "
        f"({', '.join(f'{dx} {number(n, 0)}' for dx, n in found.items())})."
        for name, found in counted.items()
    )


def intervals(resamples: int, units: str = "lesions") -> Markup:
    """What the small grey numbers are, what they resample and what they leave out.

    Args:
        resamples: how many; 0 are not told.
        units: result of `units`.
    """
    if not resamples:
        return Markup("Nothing was resampled, so scores have no intervals.")
    how = "within each class on val and test, and freely on external cohorts and on a held-out source"
    return Markup(
        "Small grey numbers are 95&nbsp;% intervals from {} resamples of whole {}. These are drawn {}. Shares of "
        "images and means of recalls always have an interval, by Wilson's method. Other scores have none where a class "
        "has too few lesions. An interval holds on condition that the score is defined. All leave out what another "
        "seed, training or split would change. Those on val also leave out that the epoch, the calibration and the "
        "thresholds were chosen on val."
    ).format(number(resamples, 0), units, how if units == "lesions" else "freely")


def paired(resamples: int, units: str = "lesions") -> str:
    """How backbones are compared; `resamples` of 0 are not told, and `units` is the result of the function."""
    count = f"{number(resamples, 0)} " if resamples else ""
    return (
        f"First minus second, on the same {count}resamples of {units}. Each row is of two trainings: other seeds of "
        "the same two backbones may differ by as much."
    )


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
    kept = " No lesion that is known to be one is seen in training and scored in the test."
    return text + kept if count == 0 else text


def area(where: str, found: Mapping[str, Any]) -> Markup:
    """The area under the risk-coverage curve on some images, beside that of refusing at random.

    Args:
        where: name of the images.
        found: as results.Selective says.
    """
    ci = found.get("aurc_ci")
    small = Markup(" ") + NO_BREAK.format(interval(ci)) if ci else ""
    text = Markup("{} {}{}, at random {}")
    return text.format(where, number(found["aurc"]), small, number(found["aurc_random"]))


def flagged_melanomas(outside: Mapping[str, Any], where: str) -> Markup:
    """How many melanomas are flagged as unlike the training images.

    Args:
        outside: as results.Outside says.
        where: name of the split shown.
    """
    share, ci = outside["melanomas_flagged"], outside.get("melanomas_flagged_ci")
    if share is None:
        return Markup("There is no melanoma on the {} to flag.").format(where)
    small = Markup(" ") + NO_BREAK.format(interval(ci)) if ci else ""
    return Markup("Of the melanomas of the {}, a share of {}{} is flagged.").format(where, number(share), small)


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
