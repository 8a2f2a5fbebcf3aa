"""What trivial predictors score, and what each backbone gains over them."""

from typing import Annotated, Literal

from lesionbench.results.fields import Ci, Numbers, Section, count, fact, keys, number
from lesionbench.results.scores import Evaluated

RIVALS = ("constant", "metadata", "quality")


class Gain(Numbers):
    """Scores of a backbone minus a rival's, on the same images and resamples of lesions; null: undefined."""

    roc_auc: float | None = number("difference; of melanoma, or the mean over seven diagnoses", -1, 1)
    roc_auc_ci: Ci = None
    melanoma_roc_auc: float | None = number("difference of the area under melanoma's ROC curve", -1, 1)
    melanoma_roc_auc_ci: Ci = None
    balanced_accuracy: float | None = number("difference", -1, 1)
    balanced_accuracy_ci: Ci = None
    log_loss_skill: float | None = number("difference; a skill is 1 - log_loss / that of val's class shares")
    log_loss_skill_ci: Ci = None


class Gains(Section):
    """What is gained on one part of the images."""

    n: int = count("images", 1)
    with_metadata: int = count("images of known age, sex or site; of the others the rival `metadata` knows nothing")
    gains: dict[str, Annotated[dict[str, Gain], keys(RIVALS)]] = fact("backbone or ensemble → rival → gain")


class Rivals(Section):
    """Trivial predictors, trained on train and calibrated on val as the networks are.

    `constant` says val's class shares. `metadata` is a logistic regression of age, sex and site, without the image.
    `quality` is one of eight colour and quality numbers of the whole image, columns of data/index.csv.
    """

    split: Literal["val", "test"] = fact("the split that gains are of, beside the external cohorts")
    quality_model: Literal["linear", "spline"] = fact("how the eight numbers enter, by cross-validation on train")
    scores: Annotated[dict[str, Evaluated], keys(RIVALS)] = fact("rival → its scores")
    gains: dict[str, Gains] = fact("the split, or an external cohort → gains there")
