"""What worse images change."""

from typing import Literal

from lesionbench.results.fields import Ci, Numbers, count, fact, number, share


class Disturbed(Numbers):
    """One disturbance at one level; null: undefined on these images."""

    roc_auc: float | None = share("area under the ROC curve of the probability of melanoma")
    roc_auc_ci: Ci = None
    drop: float | None = number("the undisturbed one minus that, paired", -1, 1)
    drop_ci: Ci = None
    changed: float | None = share("share of the images whose decision is no longer the same")
    changed_ci: Ci = None


class Robustness(Numbers):
    """What disturbances change on a sample of images, half of them melanomas where there are enough."""

    split: Literal["test", "val"] = fact("the split of the images; val while test is sealed")
    n: int = count("images", 1)
    lesions: int = count("lesions", 1)
    melanomas: int = count("melanoma images")
    roc_auc: float | None = share("area under the ROC curve of melanoma, undisturbed, one view an image")
    roc_auc_ci: Ci = None
    disturbances: dict[str, dict[str, Disturbed]] = fact("kind → level → what it changes")
