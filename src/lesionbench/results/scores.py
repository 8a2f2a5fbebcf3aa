"""How good predictions are."""

from typing import Annotated, Literal

from lesionbench.core.tasks import CLASSES
from lesionbench.results.fields import Ci, Maybe, Numbers, Section, count, fact, keys, maybe, number, share

RULES = ("balanced", "likeliest", "cost")  # of decision, see evidence.decisions


class ClassScores(Numbers):
    """Scores of one class against the rest; null: undefined on these images."""

    precision: float | None = share("share of the calls of this class that are right; null: no call")
    precision_ci: Ci = None
    recall: float | None = share("share of this class's images that are called it")
    recall_ci: Ci = None
    f1: float | None = share("harmonic mean of precision and recall")
    f1_ci: Ci = None
    roc_auc: float | None = share("area under the ROC curve")
    roc_auc_ci: Ci = None
    average_precision: float | None = share("area under the precision-recall curve")
    average_precision_ci: Ci = None
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
    accuracy_ci: Ci = None
    balanced_accuracy: float | None = share("recall, mean over the classes")
    balanced_accuracy_ci: Ci = None
    precision: float | None = share("share of the positive calls that are right")
    precision_ci: Ci = None
    recall: float | None = share("share of the positive images that are called positive")
    recall_ci: Ci = None
    f1: float | None = share("harmonic mean of precision and recall")
    f1_ci: Ci = None


class LesionScores(Numbers):
    """Scores where each lesion counts once, by the geometric mean of its images' p; null: undefined on these lesions.

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
    melanoma_roc_auc: float | None = share("area under melanoma's ROC curve")
    melanoma_roc_auc_ci: Ci = None


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
    melanoma_intercept: float = number("what is added to logit p(melanoma) at last; 0 with two classes", -10, 10)
    melanoma_slope: float = number("by what logit p(melanoma) is multiplied before; 1 with two classes", 0.1, 8)


METRICS = tuple(
    name
    for name, field in Scores.model_fields.items()
    if field.annotation in (int, float | None) and name[-3:] != "_ci"
)
