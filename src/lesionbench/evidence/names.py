"""Names of metrics and tasks for readers, in the report and on figures."""

from typing import NamedTuple


class Metric(NamedTuple):
    """A metric's name within a sentence, whether higher is better, and its meaning."""

    label: str
    higher: bool
    meaning: str

    @property
    def heading(self) -> str:
        """The label as the start of a heading, such as "Log loss"."""
        return self.label[0].upper() + self.label[1:]


METRICS = {
    "balanced_accuracy": Metric(
        "balanced accuracy", True, "recall averaged over the classes; guessing scores 1 / number of classes"
    ),
    "roc_auc": Metric(
        "ROC AUC", True, "how often a random positive image scores above a random negative one; guessing scores 0.5"
    ),
    "average_precision": Metric(
        "average precision", True, "area under the precision-recall curve; guessing scores the share of positives"
    ),
    "recall": Metric("recall", True, "sensitivity: share of the positive images that are called positive"),
    "precision": Metric("precision", True, "positive predictive value: share of the positive calls that are right"),
    "f1": Metric("F1", True, "harmonic mean of precision and recall"),
    "accuracy": Metric(
        "accuracy", True, "share of right decisions; flatters a model that always names the commonest class"
    ),
    "log_loss": Metric("log loss", False, "mean of -ln(probability of the true class): confident errors cost most"),
    "brier": Metric("Brier score", False, "squared error of the probabilities; with seven classes summed over them"),
    "ece": Metric(
        "ECE",
        False,
        "calibration error: mean gap between a class's probability and its share, chance taken off; not given for "
        "fewer than 200 lesions, and not comparable with versions before 0.2.0",
    ),
}
SKILLS = {
    "log_loss_skill": Metric(
        "log-loss skill", True, "1 - log loss / log loss of always saying val's class shares; 0 or less: no gain"
    ),
    "brier_skill": Metric(
        "Brier skill", True, "1 - Brier score / Brier score of always saying val's class shares; 0 or less: no gain"
    ),
}
HEADLINE = {"melanoma": "roc_auc", "diagnosis": "balanced_accuracy"}  # what a backbone is chosen by, on val
RULES = {
    "balanced": "the class whose probability is largest beside its share on val",
    "likeliest": "the most probable class",
    "cost": "the class of least expected cost, by the matrix in params.yaml",
}
ENSEMBLE = "ensemble"  # the name of what all backbones say together, beside the names of backbones
TASKS = {"melanoma": "Melanoma or not", "diagnosis": "Which of seven diagnoses"}
# What robustness tries, and the unit of its levels.
DISTURBANCES = {
    "blur": "standard deviation, share of the side",
    "jpeg": "JPEG quality, 100 is best",
    "brightness": "factor",
    "colour_temperature": "factor on red; blue is divided by it",
    "rotation": "degrees",
    "crop": "side of the middle square that is kept, as a share",
    "hair": "number of dark hairs drawn",
}
RIVALS = {
    "constant": "val's class shares",
    "metadata": "age, sex and site, no image",
    "quality": "eight colour and quality numbers",
}
