"""From probabilities to decisions: rules that name a class, and thresholds that call melanoma."""

from typing import Any

import numpy as np

from lesionbench.evidence.intervals import Draws

RULES = ("balanced", "likeliest", "cost")


def decide(p: np.ndarray, rule: str, prior: np.ndarray, cost: np.ndarray | None = None) -> np.ndarray:
    """The class that a rule names for each image, int (n,).

    Args:
        p: calibrated probabilities, float (n, classes).
        rule: balanced: the class with the highest p / prior, which serves balanced accuracy; a class without prior is
            never named. likeliest: the highest p, which serves accuracy. cost: the lowest expected cost.
        prior: class shares that p was calibrated to, float (classes,); or (n, classes), where they differ by image.
        cost: of naming a class, float (classes true, classes named); only of the rule cost.

    Examples:
        >>> import numpy as np
        >>> p, prior = np.array([[0.7, 0.3]]), np.array([0.89, 0.11])
        >>> decide(p, "balanced", prior), decide(p, "likeliest", prior)
        (array([1]), array([0]))
        >>> decide(p, "cost", prior, np.array([[0, 1], [20, 0]]))  # a missed melanoma costs twenty false alarms
        array([1])
    """
    if rule == "cost":
        assert cost is not None, "the rule cost needs a matrix"
        return (p @ cost).argmin(axis=1)
    if rule == "likeliest":
        return p.argmax(axis=1)
    return np.divide(p, prior, out=np.full_like(p, -1), where=prior > 0).argmax(axis=1)


def expected_cost(
    p: np.ndarray, rule: str, prior: np.ndarray, called: np.ndarray, cost: np.ndarray | None = None
) -> np.ndarray:
    """What each decision is expected to cost in the unit that its rule saves, float (n,), 0 or more.

    Images are refused by it: no other order has a lower cost among those that are answered (Chow 1970,
    doi:10.1109/TIT.1970.1054406).

    Args:
        p: calibrated probabilities, float (n, classes).
        rule: balanced: an error costs 1 / (classes * the class's prior), so that the mean is the balanced error.
            likeliest: an error costs 1. cost: as the matrix says.
        prior: class shares, float (classes,).
        called: the class decided for, int (n,).
        cost: as of `decide`.

    Examples:
        >>> import numpy as np
        >>> p, prior = np.array([[0.7, 0.3]]), np.array([0.8, 0.2])
        >>> expected_cost(p, "likeliest", prior, np.array([0])).round(3)
        array([0.3])
        >>> expected_cost(p, "balanced", prior, np.array([1])).round(4)  # 0.7 / 0.8 / 2
        array([0.4375])
    """
    rows = np.arange(len(p))
    if rule == "cost":
        assert cost is not None, "the rule cost needs a matrix"
        return (p @ cost)[rows, called]
    if rule == "likeliest":
        return 1 - p[rows, called]
    odds = np.divide(p, len(prior) * prior, out=np.zeros_like(p), where=prior > 0)
    return odds.sum(axis=1) - odds[rows, called]


def operating_points(p: np.ndarray, labels: np.ndarray, targets: list[float]) -> dict[str, float]:
    """The highest threshold that reaches each target sensitivity on these images.

    On other images it is reached on average only: a threshold set for 0.90 on a few hundred melanomas falls short of
    0.90 on new ones in about half of all cases. The interval of the sensitivity there says by how much it may.

    Args:
        p: probability of melanoma, float (n,).
        labels: 0 or 1, int (n,).
        targets: sensitivities, above 0 and at most 1.

    Returns:
        Such as {"sensitivity_0.9": threshold}; empty if no label is 1.

    Examples:
        >>> import numpy as np
        >>> p, labels = np.array([0.9, 0.7, 0.4, 0.3, 0.1]), np.array([1, 0, 1, 1, 0])
        >>> operating_points(p, labels, [0.5, 0.9])
        {'sensitivity_0.5': 0.4, 'sensitivity_0.9': 0.3}
    """
    positives = np.sort(p[labels == 1])[::-1]
    if len(positives) == 0:
        return {}
    needed = {target: int(np.ceil(target * len(positives) - 1e-9)) for target in targets}
    return {f"sensitivity_{target:g}": float(positives[max(1, k) - 1]) for target, k in needed.items()}


def at_threshold(p: np.ndarray, labels: np.ndarray, threshold: float, draws: Draws) -> dict[str, Any]:
    """Sensitivity, specificity, precision (PPV) and npv of calling p >= threshold positive, with intervals.

    PPV and NPV hold for the share of positives among these images. None where undefined.

    Args:
        p: float (n,).
        labels: 0 or 1, int (n,).
        threshold: 0 to 1.
        draws: resamples of the same n images.
    """
    called, positive = p >= threshold, labels == 1
    return {
        "threshold": threshold,
        **draws.share("sensitivity", called, positive),
        **draws.share("specificity", ~called, ~positive),
        **draws.share("precision", positive, called),
        **draws.share("npv", ~positive, ~called),
    }
