"""Metrics of calibrated probabilities and of decisions, with intervals that resample lesions instead of images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lesionbench.core.tasks import melanoma_column
from lesionbench.evidence import reliability
from lesionbench.evidence.calibration import bounded_log
from lesionbench.evidence.decisions import RULES, decide
from lesionbench.evidence.intervals import Draws
from lesionbench.evidence.lesions import OF_ALL, by_lesion, lesions_behind
from lesionbench.evidence.ranks import areas_by_class

DECIDED = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")
LIMITS = {"log_loss": (0,), "brier": (0,), "log_loss_skill": (-np.inf, 1), "brier_skill": (-np.inf, 1)}
METRICS = ("n", "lesions", *DECIDED, "roc_auc", "average_precision", "log_loss", "brier", "ece", *OF_ALL[2:])
BY_LESION = ("accuracy", "balanced_accuracy", "roc_auc", "average_precision", "log_loss", "brier")


def decided(called: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """The metrics DECIDED, as scikit-learn defines them, for many weightings of the same images at once.

    With two classes, precision, recall and f1 are those of class 1. With more they are macro averages.

    Args:
        called: the class decided for, int (n,), n > 0.
        labels: class numbers, int (n,).
        weights: float (weightings, n), such as how often each image was drawn.
        classes: how many there are.

    Returns:
        metric → float (weightings,). A metric is NaN if undefined: a class does not occur, or, for precision with two
        classes, class 1 is never called. In a macro average, a class that is never called has precision 0.
    """
    actual_of, called_of = np.eye(classes)[labels], np.eye(classes)[called]
    total, hit = weights.sum(axis=1), weights @ (actual_of * called_of)
    actual, predicted = weights @ actual_of, weights @ called_of

    def average(values: np.ndarray) -> np.ndarray:
        return values[:, 1] if classes == 2 else values.mean(axis=1)

    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = hit / actual, hit / predicted
        return {
            "accuracy": hit.sum(axis=1) / total,
            "balanced_accuracy": recall.mean(axis=1),
            "precision": average(precision if classes == 2 else np.nan_to_num(precision)),
            "recall": average(recall),
            "f1": average(2 * hit / (actual + predicted)),
        }


def compute(
    p: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    called: np.ndarray | None = None,
    each: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Compute DECIDED, roc_auc, average_precision, log_loss and brier for many weightings of the same images at once.

    All are as scikit-learn defines them. With two classes, roc_auc and average_precision are those of class 1, and
    brier is the squared error of class 1. With more, they are macro averages, and brier sums over the classes.

    Args:
        p: probabilities, float (n, classes), n > 0.
        labels: class numbers, int (n,).
        weights: float (weightings, n), such as how often each image was drawn.
        called: the class decided for, int (n,); None: the likeliest.
        each: `areas_by_class` of all classes, where they are known; None: they are found here.

    Returns:
        metric → float (weightings,), NaN where `decided` says, and where a class does not occur.
    """
    classes = p.shape[1]
    log_loss, brier = losses(p, labels)
    total = weights.sum(axis=1)
    scored = [1] if classes == 2 else list(range(classes))
    each = areas_by_class(p, labels, weights, scored) if each is None else each[scored]
    roc_auc, average_precision = each.mean(axis=0)
    return {
        **decided(p.argmax(axis=1) if called is None else called, labels, weights, classes),
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "log_loss": weights @ log_loss / total,
        "brier": weights @ brier / total,
    }


def losses(p: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log loss and Brier score of each image, two float (n,); arguments as in `compute`.

    The log loss is 18.4 at most, that of calibration.LEAST.
    """
    squared = ((p - np.eye(p.shape[1])[labels]) ** 2).sum(axis=1) / (2 if p.shape[1] == 2 else 1)
    return -bounded_log(p[np.arange(len(labels)), labels]), squared


def skills(p: np.ndarray, labels: np.ndarray, prior: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Skill: 1 - score / score of always saying `prior`; above 0: better than that (Murphy 1973).

    Args:
        p: probabilities, float (n, classes).
        labels: class numbers, int (n,).
        prior: class shares, float (classes,); or (n, classes), where they differ from image to image.
        weights: float (weightings, n).

    Returns:
        log_loss_skill and brier_skill, float (weightings,). NaN where the prior is always right, or rules out a label.
    """
    found, prior = {}, np.broadcast_to(prior, p.shape)
    constant = losses(prior, labels)
    for name, own, other in zip(("log_loss", "brier"), losses(p, labels), constant, strict=True):
        with np.errstate(invalid="ignore", divide="ignore"):
            skill = 1 - (weights @ own) / (weights @ other)
        found[f"{name}_skill"] = np.where(
            np.isfinite(skill) & prior[np.arange(len(labels)), labels].all(), skill, np.nan
        )
    return found


def shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """Share of each class among `labels`, int (n,): float (classes,)."""
    return np.bincount(labels, minlength=classes) / len(labels)


def per_class(
    p: np.ndarray,
    labels: np.ndarray,
    called: np.ndarray,
    names: Sequence[str],
    draws: Draws,
    each: np.ndarray,
    lesion: np.ndarray | None = None,
) -> dict[str, dict[str, Any]]:
    """Score each class against the rest, as results.ClassScores says.

    Args:
        p: probabilities, float (n, classes).
        labels: class numbers, int (n,).
        called: the class decided for, int (n,).
        names: class names.
        draws: resamples of the same n images.
        each: `areas_by_class` of all classes under their weights.
        lesion: number of each image's lesion, int (n,); None: as it was drawn.

    Returns:
        class name → its scores; an undefined score is None.
    """
    weights, lesion = draws.weights, draws.lesion if lesion is None else lesion
    found: dict[str, dict[str, Any]] = {}
    for c, name in enumerate(names):
        here, chosen = labels == c, called == c
        fewest = draws.fewer(here)
        roc_auc, average_precision = each[c]
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = 2 * (weights @ (here & chosen)) / (weights @ here + weights @ chosen)
        found[name] = {
            **draws.share("precision", here, chosen),
            **draws.share("recall", chosen, here),
            **draws.score("f1", f1 if here.any() else np.full(len(weights), np.nan), fewest, 0, 1),
            **draws.score("roc_auc", roc_auc, fewest, 0, 1),
            **draws.score("average_precision", average_precision, fewest, 0, 1),
            "ece": reliability.ece(p[:, c], here, draws.lesion),
            "n": int(here.sum()),
            "lesions": len(np.unique(lesion[here])),
        }
    return found


def score(
    found: dict[str, np.ndarray], called: np.ndarray, labels: np.ndarray, classes: int, draws: Draws
) -> dict[str, Any]:
    """Numbers and intervals of metrics `found` under the weights of `draws` for the classes `called`, int (n,).

    Shares and means of shares always have an interval, Wilson's. Another score has one if it rests on enough lesions,
    see `lesions_behind`.
    """
    every = np.ones(len(labels), bool)
    recalls = [(called == c, labels == c) for c in range(classes)]
    counted = {"accuracy": [(called == labels, every)], "balanced_accuracy": recalls}
    if classes == 2:
        counted |= {"precision": [(labels == 1, called == 1)], "recall": recalls[1:]}
    else:
        counted |= {"recall": recalls}
    told: dict[str, Any] = {}
    for name, values in found.items():
        if name in counted:
            told |= draws.mean_share(name, counted[name])
        else:
            behind = lesions_behind(name, labels, draws.lesion, draws.free)
            told |= draws.score(name, values, behind, *LIMITS.get(name, (0, 1)))
    return told


def evaluate(
    p: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    names: Sequence[str],
    samples: int,
    seed: int,
    *,
    prior: np.ndarray | None = None,
    decision: str = "likeliest",
    cost: np.ndarray | None = None,
    free: bool = False,
    lesions: np.ndarray | None = None,
) -> dict[str, Any]:
    """All metrics of one set of images, as results.Scores says, but for operating_points.

    Args:
        p: calibrated probabilities, float (n, classes).
        labels: class numbers, int (n,).
        groups: group_id of each image, (n,).
        names: class names.
        samples: number of bootstrap resamples of groups; 0 leaves the intervals out.
        seed: seed of the resamples.
        prior: class shares that p was calibrated to, float (classes,); None: those of `labels`.
        decision: the rule that the scores follow, see decisions.decide.
        cost: matrix of the rule cost, float (classes, classes); None: that rule is left out.
        free: False: lesions are drawn within their class, so the intervals hold for this number of lesions a class,
            as our own split sets it. True: lesions are drawn freely, as those of an external cohort or of a held-out
            source were.
        lesions: lesion of each image, (n,), where groups are patients; None: groups are lesions.

    Examples:
        >>> import numpy as np
        >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
        >>> labels, lesions = np.array([0, 0, 1, 1]), np.array(["l1", "l1", "l2", "l3"])
        >>> found = evaluate(p, labels, lesions, ("non_melanoma", "melanoma"), samples=100, seed=42)
        >>> found["accuracy"], found["recall"], found["roc_auc"]
        (0.75, 0.5, 0.75)
        >>> "roc_auc_ci" in found  # of three lesions
        False
    """
    classes, column = len(names), melanoma_column(names)
    prior = shares(labels, classes) if prior is None else prior
    rules = [rule for rule in RULES if rule != "cost" or cost is not None]
    called = {rule: decide(p, rule, prior, cost) for rule in rules}
    draws = Draws.make(groups, None if free else labels, samples, seed)
    each = areas_by_class(p, labels, draws.weights, range(classes))
    scored = compute(p, labels, draws.weights, called[decision], each)
    _, lesion = np.unique(groups if lesions is None else lesions, return_inverse=True)
    of_class = per_class(p, labels, called[decision], names, draws, each, lesion)
    eces = [told["ece"] for told in of_class.values()]
    found: dict[str, Any] = {"n": len(labels), "lesions": int(lesion.max()) + 1}
    found |= score(scored, called[decision], labels, classes, draws)
    found["ece"] = eces[1] if classes == 2 or None in eces else float(np.mean(eces))
    found |= score(skills(p, labels, prior, draws.weights), called[decision], labels, classes, draws)
    found |= {"melanoma": reliability.evaluate(p[:, column], labels == column, draws)}
    found["decisions"] = {
        rule: score(decided(called[rule], labels, draws.weights, classes), called[rule], labels, classes, draws)
        for rule in rules
    }
    p_lesion, of_lesion, first = by_lesion(p, labels, lesion)
    called_lesion = decide(p_lesion, decision, prior, cost)
    alone = draws.take(first)
    areas = areas_by_class(p_lesion, of_lesion, alone.weights, range(classes))
    scored = compute(p_lesion, of_lesion, alone.weights, called_lesion, areas)
    told = score({name: scored[name] for name in BY_LESION}, called_lesion, of_lesion, classes, alone)
    told |= alone.score("melanoma_roc_auc", areas[column, 0], alone.fewer(of_lesion == column), 0, 1)
    mixed = len(np.unique(lesion[labels != of_lesion[lesion]]))
    return found | {"by_lesion": {"n": len(first), "mixed": mixed, **told}, "per_class": of_class}
