"""From logits to calibrated probabilities."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T, 0.05 to 20, that minimises the log loss of softmax(logits / T).

    Temperature scaling is from Guo et al. 2017, arXiv:1706.04599.

    Args:
        logits: float (n, classes).
        labels: class numbers, int (n,).

    Examples:
        >>> import numpy as np
        >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [0.0, 4.0], [4.0, 0.0]])
        >>> temperature = fit_temperature(logits, np.array([0, 0, 1, 1, 1, 0]))  # five of six are right
        >>> round(temperature, 2)
        2.49
        >>> probabilities(logits[:1], temperature).round(2)
        array([[0.83, 0.17]])
    """
    rows = np.arange(len(labels))

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits / np.exp(log_t), axis=1)[rows, labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(logits / temperature), float64 (n, classes), of float logits (n, classes)."""
    return softmax(logits.astype(np.float64) / temperature, axis=1)
