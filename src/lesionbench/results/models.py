"""What trainings, their evaluation, their explanation and their comparison found."""

from typing import Annotated, Literal

from pydantic import Field

from lesionbench.core.tasks import CLASSES
from lesionbench.results.deployment import Deployment
from lesionbench.results.elsewhere import Transfer
from lesionbench.results.fields import (
    Ci,
    Interval,
    Maybe,
    Numbers,
    Section,
    Share,
    Text,
    count,
    fact,
    keys,
    maybe,
    number,
    share,
)
from lesionbench.results.refusal import Neighbours, Outside, Refusal
from lesionbench.results.robustness import Robustness

TrainKey = Annotated[str, Field(pattern=r"^[0-9a-f]{20}$", description="hash of all that the training depends on")]
Loss = Annotated[float | None, Field(ge=0, description="cross-entropy, nats (0 or more); null: not finite")]
ValScore = Annotated[float | None, Field(ge=0, le=1, description="see Scores, uncalibrated (0 to 1); null: not finite")]


P = Annotated[
    Maybe[Share],
    Field(description="two-sided p of no difference, by the resamples (0 to 1); absent where there is none"),
]
Holm = Annotated[Maybe[Share], Field(description="the same, held for all pairs by Holm's method (0 to 1)")]
RULES = ("balanced", "likeliest", "cost")  # of decision, see evidence.decisions


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
    weights: Text = fact("what the network really began with: imagenet, none (random), or a file under weights/")
    dropout: float = share("share of the features that training dropped before the last layer")
    stochastic_depth: float = share("chance that training skipped the last block; earlier blocks had less")
    metadata: Maybe[list[Text]] = maybe("what the network saw beside the image: some of age, sex, localization")
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
    precision_ci: Ci = None
    recall: float | None = share("share of this class's images that are called it")
    recall_ci: Ci = None
    f1: float | None = share("harmonic mean of precision and recall")
    roc_auc: float | None = share("area under the ROC curve")
    average_precision: float | None = share("area under the precision-recall curve")
    ece: float | None = share("gap between this class's probability and its share, see Scores.ece")
    n: int = count("images of this class")
    lesions: int = count("lesions of this class")


class OperatingPoint(Numbers):
    """What one threshold on the probability of melanoma reaches; null: no such image."""

    threshold: float = share("images at or above it are called melanoma")
    sensitivity: float | None = share("share of the melanomas that are called so")
    sensitivity_ci: Ci = None
    specificity: float | None = share("share of the others that are not")
    specificity_ci: Ci = None
    precision: float | None = share("share of the calls that are right: positive predictive value")
    precision_ci: Ci = None
    npv: float | None = share("share of the images not called that are no melanoma: negative predictive value")
    npv_ci: Ci = None


class Reliability(Numbers):
    """How far the probability of melanoma can be taken at its word; null: undefined on these images."""

    mean_p: float = share("probability of melanoma, mean over images")
    mean_p_ci: Ci = None
    prevalence: float = share("share of melanomas; no interval where the split sets it")
    prevalence_ci: Ci = None
    intercept: float | None = number("calibration in the large, logits; above 0: the probabilities are too low")
    intercept_ci: Ci = None
    slope: float | None = number("calibration slope; below 1: the probabilities are too extreme")
    slope_ci: Ci = None
    ece: float | None = share("gap between probability and share of melanomas, see Scores.ece")
    roc_auc: float | None = share("area under the ROC curve of the probability of melanoma")
    roc_auc_ci: Ci = None


class Decided(Numbers):
    """What one rule of decision reaches; null: undefined on these images."""

    accuracy: float | None = share("share of right decisions")
    balanced_accuracy: float | None = share("recall, mean over the classes")
    precision: float | None = share("share of the positive calls that are right")
    recall: float | None = share("share of the positive images that are called positive")
    f1: float | None = share("harmonic mean of precision and recall")


class LesionScores(Numbers):
    """Scores where each lesion counts once, by the mean logit of its images; null: undefined on these lesions.

    The probabilities are calibrated by image, not by lesion.
    """

    n: int = count("lesions", 1)
    mixed: int = count("lesions whose images have several labels; they count by their first image's")
    accuracy: float | None = share("share of right decisions")
    accuracy_ci: Ci = None
    balanced_accuracy: float | None = share("recall, mean over the classes")
    balanced_accuracy_ci: Ci = None
    roc_auc: float | None = share("area under the ROC curve")
    roc_auc_ci: Ci = None
    average_precision: float | None = share("area under the precision-recall curve")
    average_precision_ci: Ci = None
    log_loss: float | None = number("mean of -ln(probability of the true class), nats", 0)
    log_loss_ci: Ci = None
    brier: float | None = number("squared error of melanoma's probability, or summed over seven", 0, 2)
    brier_ci: Ci = None


class Scores(Numbers):
    """Scores of calibrated probabilities, defined as in scikit-learn; null: undefined on these images.

    Accuracy, balanced_accuracy, precision, recall and f1 are of the decisions that the evaluation's rule makes.
    precision, recall, f1, roc_auc and average_precision are of melanoma, or the mean over seven diagnoses. Intervals
    resample groups of images that show one lesion: within each class on val and test, freely in external cohorts
    and in a test split that is a held-out source.
    """

    n: int = count("images", 1)
    lesions: int = count("lesions", 1)
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
    ece: float | None = share(
        "gap between probability and share by equal-mass bins, debiased; of melanoma, or the mean over seven; null: "
        "fewer than 200 lesions; before 0.2.0 another quantity, not comparable"
    )
    log_loss_skill: float | None = number("1 - log_loss / that of always saying val's class shares; 0 or less: no gain")
    log_loss_skill_ci: Ci = None
    brier_skill: float | None = number("1 - brier / that of always saying val's class shares; 0 or less: no gain")
    brier_skill_ci: Ci = None
    melanoma: Reliability = fact("reliability of the probability of melanoma")
    decisions: Annotated[dict[str, Decided], keys(RULES, optional=("cost",))] = fact(
        "rule of decision → what it reaches"
    )
    by_lesion: LesionScores = fact("the same where each lesion counts once")
    per_class: Annotated[dict[str, ClassScores], keys(*CLASSES.values())] = fact("class → its scores")
    operating_points: Maybe[dict[str, OperatingPoint]] = maybe("`sensitivity_<wanted on val>` → what is reached here")


class Parts(Section):
    """Scores on each part of the images."""

    val: Scores = fact("the images that calibration and thresholds were chosen on")
    test: Scores | None = fact("the images that nothing was chosen on; null: they are sealed")
    external: dict[str, Scores] = fact("other cohort → its scores; empty while the test is sealed")
    with_repeats: Maybe[dict[str, Scores]] = maybe("cohort → its scores with images that repeat a lesion trained on")


class Evaluated(Parts):
    """Scores of calibrated predictions, and how they were calibrated and decided."""

    leaky: bool = fact("whether the split leaks on purpose: then all scores are too good")
    decision: Literal["balanced", "likeliest", "cost"] = fact("the rule that the scores' decisions follow")
    temperature: float = number("what logits are divided by; above 1: the network was too sure", 0.05, 20)
    biases: Annotated[dict[str, float], keys(*CLASSES.values())] = fact(
        "class → what is added to its logit (-20 to 20)"
    )


class Evaluation(Evaluated):
    """One backbone's scores."""

    robustness: Maybe[Robustness] = maybe("what worse images change")
    train_key: TrainKey


class ClassEnergy(Numbers):
    """Where Grad-CAM says that a network looks, on the measured images of one class; null: no such image."""

    n: int = count("images measured whose map is not empty")
    energy_in_lesion: float | None = share("share of a map's energy inside the lesion, mean")
    energy_in_lesion_ci: Ci = None
    gain_over_shuffled: float | None = number("that minus the energy of the other lesions' maps, paired", -1, 1)
    gain_over_shuffled_ci: Ci = None


class Explanation(Numbers):
    """Where Grad-CAM says that a network looks, on images with a mask of the lesion; null: no such image."""

    layer: Text = fact("the layer that is explained")
    split: Literal["test", "val"] = fact("the split of the images; val while test is sealed")
    n: int = count("images measured")
    empty_maps: int = count("images left out below, as their map is zero everywhere")
    energy_in_lesion: float | None = share("share of a map's energy inside the lesion, mean")
    energy_in_lesion_ci: Ci = None
    lesion_area: float | None = share("share of an image that the lesion covers, mean")
    shuffled_energy: float | None = share("energy_in_lesion of the other lesions' maps on the same masks")
    gain_over_shuffled: float | None = number("energy_in_lesion minus shuffled_energy, paired", -1, 1)
    gain_over_shuffled_ci: Ci = None
    mean_map_energy: float | None = share("energy_in_lesion of the mean of the other lesions' maps")
    gain_over_mean_map: float | None = number("energy_in_lesion minus mean_map_energy, paired", -1, 1)
    gain_over_mean_map_ci: Ci = None
    random_weights_energy: float | None = share(
        "energy_in_lesion of a network with random weights; empty maps left out"
    )
    gain_over_random_weights: float | None = number("energy_in_lesion minus that, paired", -1, 1)
    gain_over_random_weights_ci: Ci = None
    energy_in_lesion_right: float | None = share("energy_in_lesion of right decisions")
    energy_in_lesion_wrong: float | None = share("energy_in_lesion of wrong decisions")
    per_class: Annotated[dict[str, ClassEnergy], keys(*CLASSES.values())] = fact("true class → the same by class")
    outside: Outside = fact("images unlike those of training")
    neighbours: Neighbours = fact("the nearest training lesions by the network's features")


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


METRICS = tuple(
    name
    for name, field in Scores.model_fields.items()
    if field.annotation in (int, float | None) and name[-3:] != "_ci"
)
Row = dict[Annotated[str, Field(pattern=f"^(val_)?({'|'.join(METRICS)})(_ci)?$")], int | float | Interval | None]


class Summary(Section):
    """The scores of all backbones, and of the ensemble, in one table: `val_<metric>` on val → number.

    Where the test split is open, `<metric>` is of test. Beside some stands `<metric>_ci`, their 95 % interval.
    """

    dataset: Text = fact("the cohort that is trained on")
    leaky: bool = fact("whether the split leaks on purpose")
    melanoma: Maybe[dict[str, Row]] = maybe("scores for melanoma or not")
    diagnosis: Maybe[dict[str, Row]] = maybe("scores for seven diagnoses")
