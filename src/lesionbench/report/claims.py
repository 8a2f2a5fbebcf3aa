"""What the numbers allow to be claimed of probabilities, cohorts, patients and heat maps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lesionbench.evidence.names import SKILLS
from lesionbench.report.formats import number

# What the intervals of calibrated probabilities lie within: the odds are then off by a factor of 0.8 to 1.25 at most.
BANDS = {"slope": (0.8, 1.25), "intercept": (-0.223, 0.223)}
# Maps that know nothing of an image's lesion, as the explanation names them.
RIVALS = {
    "shuffled": "other lesions' maps",
    "mean_map": "their mean",
    "random_weights": "a network with random weights",
}


def external(dataset: str) -> str:
    """What an external cohort is to the cohort that was trained on."""
    known = {
        "ham10000": "Of ISIC 2018, the validation images come from the clinics of HAM10000, the test images in part.",
        "phantom": "They are drawn as another camera would show them.",
    }
    return " ".join(["Nothing was trained, calibrated or chosen on them.", known.get(dataset, "")]).strip()


def calibrated(scores: Mapping[str, Any], fitted: bool, resamples: int) -> str:
    """Whether p(melanoma) can be taken at its word, what is off, or that the images are too few to tell.

    It is called calibrated where the intervals of slope and intercept lie within BANDS and include 1 and 0, and those
    of both skills lie above 0. Intervals that include 1 and 0 but are wider than that show nothing.

    Args:
        scores: of one set of images, with `melanoma`, `log_loss_skill` and `brier_skill`.
        fitted: whether the calibration was fitted on these images, which proves nothing.
        resamples: how many the intervals are of; with 0 there are none.
    """
    found: Mapping[str, Any] = scores["melanoma"]
    off = [*_no_gain(scores, resamples), *_out_of_line(found, resamples)]
    if not resamples:
        off.append("no intervals were asked for")
    if off:
        return f"p(melanoma) is not shown to be calibrated: {'; '.join(off)}."
    if fitted:
        return "Fits the images that it was fitted on, which proves nothing."
    within = all(low <= min(found[f"{of}_ci"]) and max(found[f"{of}_ci"]) <= high for of, (low, high) in BANDS.items())
    bounds = ", ".join(f"{of} {_to(found[f'{of}_ci'])}" for of in BANDS)
    return f"p(melanoma) is {'calibrated' if within else 'not shown to be miscalibrated'} ({bounds})."


def _no_gain(scores: Mapping[str, Any], resamples: int) -> Iterator[str]:
    """What the skills, in which the probabilities must beat val's class shares, do not show."""
    for name, skill in SKILLS.items():
        value, ci = scores[name], scores.get(f"{name}_ci")
        if value is None:
            yield f"{skill.label} is not defined"
        elif value <= 0:
            yield f"{skill.label} is {number(value)}: no gain over val's class shares"
        elif ci is None:
            yield from [f"{skill.label} has no interval: too few lesions"] if resamples else []
        elif ci[0] <= 0:
            yield f"{skill.label} is {number(value)} ({_to(ci)}): no gain over val's class shares is shown"


def _out_of_line(found: Mapping[str, Any], resamples: int) -> Iterator[str]:
    """In what slope and intercept of p(melanoma) differ from 1 and 0."""
    for name, ideal, low, high in (
        ("slope", 1, "too extreme", "not extreme enough"),
        ("intercept", 0, "too high", "too low"),
    ):
        ci = found.get(f"{name}_ci")
        if found[name] is None:
            yield f"{name} is not defined"
        elif ci is None:
            yield from [f"{name} has no interval: too few lesions"] if resamples else []
        elif not ci[0] <= ideal <= ci[1]:
            yield f"{name} is {number(found[name])}: probabilities are {low if ci[1] < ideal else high}"


def _to(bounds: Sequence[float]) -> str:
    return " to ".join(number(bound) for bound in bounds)


def biases(found: Mapping[str, float]) -> str:
    """What calibration adds to each class's logit."""
    return ", ".join(f"{name.replace('_', '-')} {number(value, 2, sign=True)}" for name, value in found.items())


def patients(dataset: str, cohort: Mapping[str, Any], split: Mapping[str, Any]) -> str:
    """What is known of patients, and what follows.

    Args:
        dataset: name of the cohort that was trained on.
        cohort: what it holds, with `patients` and `without_patient` where patients are known.
        split: what the stage split found, with `by_patient` where patients are known.
    """
    if dataset == "phantom":
        return "Phantom lesions have no patients."
    apart = (
        "Lesions of one patient may stand in two splits, which may raise scores. "
        "They also count as independent, which makes intervals too narrow. By how much is unknown."
    )
    if "patients" not in cohort:
        return f"{'HAM10000 names' if dataset == 'ham10000' else 'The metadata name'} lesions, not patients. {apart}"
    named = f"The metadata name {number(cohort['patients'], 0)} patients"
    if split["leaky"] or not split.get("by_patient"):
        shared = sum(split["audit"]["overlaps"].get("patient", {}).values())
        why = "the split was made by image" if split["leaky"] else "split.by_patient is false"
        found = f" (found {number(shared, 0)} times, for each patient and two splits)" if shared else ""
        return f"{named}, but {why}{found}. {apart}"
    text = f"{named}. All lesions of one patient are one group, so no known patient stands in two splits."
    if cohort["without_patient"]:
        text += (
            f" {number(cohort['without_patient'], 0)} images name no patient. Each of their lesions counts as a "
            "patient of its own, so an unnamed patient may still stand in two splits."
        )
    return text


def explained(row: Mapping[str, Any], resamples: int) -> str:
    """What Grad-CAM's energy shows: whether it is more than that of maps that know nothing of the image.

    Args:
        row: an explanation, with gain_over_<rival> and its interval for each of RIVALS.
        resamples: how many the intervals are of; with 0 there are none.
    """
    intervals = {name: row.get(f"gain_over_{name}_ci") for name in RIVALS}
    if not resamples:
        return "no intervals were asked for"
    if row["energy_in_lesion"] is None or None in intervals.values():
        return "too few images or lesions to tell"
    short = [what for name, what in RIVALS.items() if (intervals[name] or [0])[0] <= 0]
    return f"not shown to be more than {' and '.join(short)}" if short else "more than all three"
