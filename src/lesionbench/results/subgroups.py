"""What a backbone scores in subgroups of the images, and within one source."""

from typing import Literal

from lesionbench.results.fields import Ci, Maybe, Numbers, Section, Share, Text, count, fact, maybe, number, share


class Subgroup(Numbers):
    """Scores on some of the images; null: fewer lesions of a class than Subgroups.fewest, or no threshold."""

    n: int = count("images", 1)
    lesions: int = count("lesions", 1)
    melanomas: int = count("images that show a melanoma")
    melanoma_lesions: int = count("lesions that are one")
    roc_auc: float | None = share("area under the ROC curve of the probability of melanoma")
    roc_auc_ci: Ci = None
    sensitivity: float | None = share("share of the melanomas at or above the threshold")
    sensitivity_ci: Ci = None
    specificity: float | None = share("share of the others below it")
    specificity_ci: Ci = None
    balanced_accuracy: float | None = share("recall of the task's decisions, mean over its classes")
    balanced_accuracy_ci: Ci = None


class WithinSource(Numbers):
    """How well melanomas are ranked in all, and within one source; null: undefined.

    A network that only recognises the source has a total above 0.5, and 0.5 within.
    """

    total: float | None = share("area under the ROC curve of melanoma, images of known source")
    total_ci: Ci = None
    within: float | None = share("the same over pairs of one source: mean of the sources, weighted by their pairs")
    within_ci: Ci = None
    difference: float | None = number("total minus within, on the same resamples", -1, 1)
    difference_ci: Ci = None


class Subgroups(Section):
    """Whom the backbone that val chose fails. Nothing is corrected for the number of subgroups."""

    split: Literal["val", "test"] = fact("the images; val while test is sealed")
    backbone: Text = fact("the backbone")
    wanted: Maybe[Share] = maybe("sensitivity that the threshold reached on val (0 to 1)")
    threshold: Maybe[Share] = maybe("probability of melanoma from which an image counts as one (0 to 1)")
    fewest: int = count("lesions of each class that a score needs", 1)
    all: Subgroup = fact("all images")
    by: dict[str, dict[str, Subgroup]] = fact("kind of subgroup → its name → scores; flags of quality overlap")
    within_source: dict[str, WithinSource] = fact(
        "backbone, ensemble or rival → ranking within a source; empty where fewer than two sources have both kinds"
    )
