"""Thresholds on the probability of melanoma, and the sensitivity and specificity they reach."""

import numpy as np


def operating_points(p: np.ndarray, labels: np.ndarray, targets: list[float]) -> dict[str, float]:
    """The highest threshold that reaches each target sensitivity on these images.

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


def at_threshold(p: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, float | None]:
    """Sensitivity, specificity and precision of calling p >= threshold positive; None where undefined.

    `p` is float (n,), `labels` are 0 or 1, int (n,).
    """
    called, positive = p >= threshold, labels == 1

    def share(part: np.ndarray, whole: np.ndarray) -> float | None:
        return float((part & whole).sum() / whole.sum()) if whole.any() else None

    return {
        "threshold": threshold,
        "sensitivity": share(called, positive),
        "specificity": share(~called, ~positive),
        "precision": share(positive, called),
    }
