"""When a network had better not answer: conformal sets, refusals, and images unlike those of its training."""

from typing import Annotated

from pydantic import Field

from lesionbench.core.tasks import CLASSES
from lesionbench.results.fields import Ci, Count, Numbers, Section, Share, Text, count, fact, keys, number, share

Above = Annotated[float, Field(ge=0)]


class ClassCoverage(Numbers):
    """How often the sets of one class's images hold that class."""

    n: int = count("images of this class")
    lesions: int = count("lesions of this class")
    coverage: float | None = share("share of this class's images whose set holds it; null: no image")
    coverage_ci: Ci = None


class SetScores(Numbers):
    """What the conformal sets of some images hold."""

    n: int = count("images", 1)
    lesions: int = count("lesions", 1)
    coverage: float = share("share of the sets that hold the true class")
    coverage_ci: Ci = None
    mean_size: float = number("classes in a set, mean", 0, 7)
    mean_size_ci: Ci = None
    empty: float = share("share of the sets that hold no class")
    empty_ci: Ci = None
    single: float = share("share of the sets that hold one class")
    single_ci: Ci = None
    melanoma: float = share("share of the sets that hold melanoma")
    melanoma_ci: Ci = None
    per_class: Annotated[dict[str, ClassCoverage], keys(*CLASSES.values())] = fact("class → how often its sets hold it")


class Conformal(Section):
    """Class-conditional conformal sets, whose thresholds are of val."""

    wanted: float = share("the coverage that each class's sets are made for")
    least: Annotated[dict[str, Share], keys(*CLASSES.values())] = fact(
        "class → the least probability with which a set holds it (0 to 1); 0: too few images of val, all sets hold it"
    )
    calibrated_on: Annotated[dict[str, Count], keys(*CLASSES.values())] = fact("class → val's images of it")
    parts: dict[str, SetScores] = fact(
        "`test` and other cohorts → their sets; empty while test is sealed, as coverage on val proves nothing"
    )


class Refused(Numbers):
    """What is right and wrong where the least sure images are refused; null: no such image."""

    refused: float = share("share of the images that are refused")
    refused_ci: Ci = None
    error: float | None = share("share of wrong decisions among the answered")
    error_ci: Ci = None
    balanced_error: float | None = share("the same, mean over the classes that occur")
    balanced_error_ci: Ci = None
    melanomas_missed: float | None = share("share of all melanomas that are answered and called otherwise")
    melanomas_missed_ci: Ci = None
    melanomas_refused: float | None = share("share of all melanomas that are refused")
    melanomas_refused_ci: Ci = None


class Selective(Numbers):
    """Errors on some images by the share that is refused."""

    n: int = count("images", 1)
    lesions: int = count("lesions", 1)
    melanomas: int = count("images of melanomas")
    aurc: float = share("area under the risk-coverage curve: error among the k surest images, mean over all k")
    aurc_ci: Ci = None
    aurc_random: float = share("the same of refusing at random: the error of all images")
    gain: float = number("aurc_random minus aurc", -1, 1)
    gain_ci: Ci = None
    at: dict[str, Refused] = fact("share refused on val, `0` first → what is reached here")


class Refusal(Section):
    """When the chosen backbone had better not answer. All thresholds are of val."""

    backbone: Text = fact("the backbone, that which val chose")
    conformal: Conformal = fact("sets of classes instead of one class")
    limits: dict[str, Above] = fact(
        "share refused on val → the highest expected cost of a decision that is still answered, in the rule's unit"
    )
    parts: dict[str, Selective] = fact("`test`, or `val` while that is sealed, and other cohorts → refusals there")


class Flagged(Numbers):
    """How many of some images lie further from the training images than the threshold allows."""

    n: int = count("images", 1)
    flagged: float = share("share of the images beyond the threshold")
    flagged_ci: Ci = None
    roc_auc: float | None = share("how often the distance is larger than in the split shown; null: it is that split")
    roc_auc_ci: Ci = None
    roc_auc_unsure: float | None = share("the same of 1 - the highest softmax of the logits, the rival")
    roc_auc_unsure_ci: Ci = None


class Outside(Numbers):
    """Images unlike those of training, by the distance of the network's features to those of the training images."""

    neighbour: int = count("the training image, by its place among the nearest, whose distance counts", 1)
    threshold: float = number("the distance that 95 % of val's images do not exceed: 1 - cosine similarity", 0, 2)
    parts: dict[str, Flagged] = fact("the split shown, and other cohorts → how many are flagged")
    strangers: dict[str, Flagged] = fact("what is no dermatoscopic image → how many are flagged")
    melanomas_flagged: float | None = share("share of the melanomas of the split shown that are flagged; null: none")
    melanomas_flagged_ci: Ci = None


class Neighbours(Numbers):
    """Whether the nearest training lesions by the network's features have the same of the seven diagnoses."""

    n: int = count("images of the split shown", 1)
    nearest: int = count("training lesions looked at for each image", 1)
    same: float = share("share of these that have the image's diagnosis")
    same_ci: Ci = None
    same_chance: float = share("the same of training lesions drawn at random")
    balanced: float = share("the same, mean over the diagnoses that occur")
    balanced_ci: Ci = None
    balanced_chance: float = share("the same of training lesions drawn at random")
    first: float = share("share of the images whose nearest training lesion has their diagnosis")
    first_ci: Ci = None
