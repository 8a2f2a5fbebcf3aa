"""What trainings, their evaluation, their explanation and their comparison found."""

from typing import Annotated, Literal

from pydantic import Field

from lesionbench.core.tasks import CLASSES
from lesionbench.results.fields import Ci, Maybe, Numbers, Section, Text, count, fact, keys, maybe, number, share

TrainKey = Annotated[str, Field(pattern=r"^[0-9a-f]{20}$", description="hash of all that the training depends on")]
Loss = Annotated[float | None, Field(ge=0, description="cross-entropy, nats (0 or more); null: not finite")]
ValScore = Annotated[float | None, Field(ge=0, le=1, description="see Scores, uncalibrated (0 to 1); null: not finite")]


class Epoch(Numbers):
    """One epoch of a training."""

    epoch: int = count("epochs before it")
    train_loss: Loss
    val_average_precision: ValScore
    val_balanced_accuracy: ValScore
    val_loss: Loss
    val_roc_auc: ValScore
    learning_rate: float | None = number("at the end of the epoch", 0)


class Training(Numbers):
    """A training. Losses and scores are those of the best epoch, whose weights are kept."""

    best_epoch: int = count("the first epoch with the highest monitor, counted from 1", 1)
    epochs: int = count("epochs trained", 1)
    n_train: int = count("training images", 1)
    parameters: int = count("parameters of the network", 1)
    monitor: Literal["average_precision", "roc_auc", "balanced_accuracy"] = fact(
        "what the best epoch is best in on val"
    )
    weights: Text = fact("what the network began with: imagenet, none, or a file under weights/")
    train_key: TrainKey
    train_loss: Loss
    val_average_precision: ValScore
    val_balanced_accuracy: ValScore
    val_loss: Loss
    val_roc_auc: ValScore
    history: list[Epoch] = fact("all epochs in their order")


class ClassScores(Numbers):
    """Scores of one class against the rest; null: undefined on these images."""

    precision: float | None = share("share of the calls of this class that are right; null: no call")
    recall: float | None = share("share of this class's images that are called it")
    recall_ci: Ci = None
    f1: float | None = share("harmonic mean of precision and recall")
    roc_auc: float | None = share("area under the ROC curve")
    average_precision: float | None = share("area under the precision-recall curve")
    n: int = count("images of this class")


class OperatingPoint(Numbers):
    """What one threshold on the probability of melanoma reaches; null: no such image."""

    threshold: float = share("images at or above it are called melanoma")
    sensitivity: float | None = share("share of the melanomas that are called so")
    specificity: float | None = share("share of the others that are not")
    precision: float | None = share("share of the calls that are right")


class Scores(Numbers):
    """Scores of calibrated probabilities, defined as in scikit-learn; null: undefined on these images.

    precision, recall, f1, roc_auc and average_precision are of melanoma, or the mean over seven diagnoses. Intervals
    resample groups of images that show one lesion.
    """

    n: int = count("images", 1)
    accuracy: float | None = share("share of right decisions")
    accuracy_ci: Ci = None
    balanced_accuracy: float | None = share("recall, mean over the classes")
    balanced_accuracy_ci: Ci = None
    precision: float | None = share("share of the positive calls that are right")
    precision_ci: Ci = None
    recall: float | None = share("share of the positive images that are called positive")
    recall_ci: Ci = None
    f1: float | None = share("harmonic mean of precision and recall")
    f1_ci: Ci = None
    roc_auc: float | None = share("area under the ROC curve")
    roc_auc_ci: Ci = None
    average_precision: float | None = share("area under the precision-recall curve")
    average_precision_ci: Ci = None
    log_loss: float | None = number("mean of -ln(probability of the true class), nats", 0)
    log_loss_ci: Ci = None
    brier: float | None = number("squared error of melanoma's probability, or summed over seven", 0, 2)
    brier_ci: Ci = None
    ece: float | None = share("mean gap between confidence and share of right decisions")
    ece_ci: Ci = None
    per_class: Annotated[dict[str, ClassScores], keys(*CLASSES.values())] = fact("class → its scores")
    operating_points: Maybe[dict[str, OperatingPoint]] = maybe("`sensitivity_<wanted on val>` → what is reached here")


class Evaluation(Section):
    """One backbone's scores."""

    val: Scores = fact("the images that calibration and thresholds were chosen on")
    test: Scores | None = fact("the images that nothing was chosen on; null: they are sealed")
    external: dict[str, Scores] = fact("cohort of other origin → its scores")
    leaky: bool = fact("whether the split leaks on purpose: then all scores are too good")
    temperature: float = number("what logits are divided by; above 1: the network was too sure", 0.05, 20)
    train_key: TrainKey


class Explanation(Numbers):
    """Where Grad-CAM says that a network looks, on images with a mask of the lesion; null: no such image."""

    layer: Text = fact("the layer that is explained")
    n: int = count("images measured")
    empty_maps: int = count("images left out below, as their map is zero everywhere")
    energy_in_lesion: float | None = share("share of a map's energy inside the lesion, mean")
    energy_in_lesion_ci: Ci = None
    lesion_area: float | None = share("share of an image that the lesion covers, mean: what a flat map reaches")
    energy_in_lesion_right: float | None = share("energy_in_lesion of right decisions")
    energy_in_lesion_wrong: float | None = share("energy_in_lesion of wrong decisions")


class Difference(Numbers):
    """Scores of one backbone minus another's, on the same images and resamples; null: undefined."""

    balanced_accuracy: float | None = number("difference", -1, 1)
    balanced_accuracy_ci: Ci = None
    roc_auc: float | None = number("difference", -1, 1)
    roc_auc_ci: Ci = None
    average_precision: float | None = number("difference", -1, 1)
    average_precision_ci: Ci = None
    recall: float | None = number("difference", -1, 1)
    recall_ci: Ci = None
    log_loss: float | None = number("difference, nats; below 0: the first is better")
    log_loss_ci: Ci = None


class Comparison(Section):
    """All backbones of one task on test."""

    differences: dict[str, Difference] = fact("pair of backbones, as `a - b` → a minus b")
    ensemble: Maybe[Scores] = maybe("scores of the mean of all backbones' probabilities")
    leaky: bool = fact("whether the split leaks on purpose")


METRICS = tuple(name for name in Scores.model_fields if f"{name}_ci" in Scores.model_fields or name == "n")
Row = dict[Annotated[str, Field(pattern=f"^(val_)?({'|'.join(METRICS)})$")], int | float | None]


class Summary(Section):
    """The scores of all backbones in one table: backbone → metric on test, or `val_<metric>` on val → number."""

    dataset: Text = fact("the cohort that is trained on")
    leaky: bool = fact("whether the split leaks on purpose")
    melanoma: Maybe[dict[str, Row]] = maybe("scores for melanoma or not")
    diagnosis: Maybe[dict[str, Row]] = maybe("scores for seven diagnoses")
