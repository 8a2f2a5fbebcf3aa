"""All backbones side by side."""

from typing import Annotated, Literal

from pydantic import Field

from lesionbench.results.deployment import Deployment
from lesionbench.results.elsewhere import Transfer
from lesionbench.results.fields import Ci, Interval, Maybe, Numbers, Section, Share, Text, fact, maybe, number
from lesionbench.results.refusal import Refusal
from lesionbench.results.scores import METRICS, Evaluated, Parts

P = Annotated[
    Maybe[Share],
    Field(description="two-sided p of no difference, by the resamples (0 to 1); absent where there is none"),
]
Holm = Annotated[Maybe[Share], Field(description="the same, held for all pairs by Holm's method (0 to 1)")]


class Difference(Numbers):
    """Scores of one backbone minus another's, on the same images and resamples; null: undefined."""

    balanced_accuracy: float | None = number("difference", -1, 1)
    balanced_accuracy_ci: Ci = None
    balanced_accuracy_p: P = None
    balanced_accuracy_p_holm: Holm = None
    roc_auc: float | None = number("difference", -1, 1)
    roc_auc_ci: Ci = None
    roc_auc_p: P = None
    roc_auc_p_holm: Holm = None
    average_precision: float | None = number("difference", -1, 1)
    average_precision_ci: Ci = None
    average_precision_p: P = None
    average_precision_p_holm: Holm = None
    recall: float | None = number("difference", -1, 1)
    recall_ci: Ci = None
    recall_p: P = None
    recall_p_holm: Holm = None
    log_loss: float | None = number("difference, nats; below 0 speaks for the first")
    log_loss_ci: Ci = None
    log_loss_p: P = None
    log_loss_p_holm: Holm = None


class Comparison(Section):
    """All backbones of one task, on test or, while that is sealed, on val."""

    split: Literal["val", "test"] = fact("what differences and curves are of")
    chosen: Text = fact("the backbone with the best score on val: roc_auc, or balanced_accuracy of seven diagnoses")
    differences: dict[str, Difference] = fact("pair of backbones, as `a - b` → a minus b")
    deployment: Deployment = fact("what the chosen backbone would do in use")
    ensemble: Maybe[Evaluated] = maybe("the mean of all backbones' probabilities, calibrated on val")
    from_diagnosis: Maybe[dict[str, Parts]] = maybe("backbone → melanoma read from its network of seven diagnoses")
    transfer: Maybe[dict[str, Transfer]] = maybe("external cohort → what the chosen backbone loses there against test")
    refusal: Refusal = fact("when the chosen backbone had better not answer")
    leaky: bool = fact("whether the split leaks on purpose")


Row = dict[Annotated[str, Field(pattern=f"^(val_)?({'|'.join(METRICS)})(_ci)?$")], int | float | Interval | None]


class Summary(Section):
    """The scores of all backbones, and of the ensemble, in one table: `val_<metric>` on val → number.

    Where the test split is open, `<metric>` is of test. Beside some stands `<metric>_ci`, their 95 % interval.
    """

    dataset: Text = fact("the cohort that is trained on")
    leaky: bool = fact("whether the split leaks on purpose")
    melanoma: Maybe[dict[str, Row]] = maybe("scores for melanoma or not")
    diagnosis: Maybe[dict[str, Row]] = maybe("scores for seven diagnoses")
