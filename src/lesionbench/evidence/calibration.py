"""From logits to calibrated probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

TEMPERATURES = (0.05, 20.0)
BIASES = (-10.0, 10.0)
SPREAD_OF_LOG_T = 1.0  # standard deviation of the normal prior on log T, around 0
LEAST = 1e-8  # a smaller probability counts as this in every loss and logit: written tables have 8 decimals
SPREAD_OF_BIAS = 3.0  # the same of each bias: a network trained on even classes is off by 4.1 between df and nv
EXACT = {"maxiter": 500, "ftol": 1e-14, "gtol": 1e-9}
SPREAD_OF_LINE = 0.5  # the same of the intercept and of the log of the slope of p(melanoma)


@dataclass(frozen=True)
class Calibration:
    """What makes probabilities of logits: softmax(logits / temperature + biases), then a line for p(melanoma).

    The line moves logit p(melanoma) to intercept + slope * logit p(melanoma); the others keep their proportions. One
    temperature for all classes leaves p(melanoma) too sure where melanoma is harder to tell than the rest, and
    p(melanoma) is what thresholds and net benefit are about. Two classes need no line: temperature and biases are one.
    """

    temperature: float
    biases: tuple[float, ...]
    column: int  # of melanoma
    intercept: float = 0.0
    slope: float = 1.0

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 (n, classes), of logits, float (n, classes)."""
        p = probabilities(logits, self.temperature, np.array(self.biases))
        return p if (self.intercept, self.slope) == (0, 1) else _moved(p, self.column, self.intercept, self.slope)

    def told(self, classes: Sequence[str]) -> dict[str, Any]:
        """As results.Evaluated holds it."""
        line = {"melanoma_intercept": self.intercept, "melanoma_slope": self.slope}
        return {"temperature": self.temperature, "biases": dict(zip(classes, self.biases, strict=True)), **line}


def calibrate(logits: np.ndarray, labels: np.ndarray, melanoma: int) -> Calibration:
    """The calibration with the least log loss: `fit`, and with more than two classes then the line of p(melanoma).

    The line is Cox's logistic recalibration (1958, doi:10.1093/biomet/45.3-4.562) of melanoma against the rest, with
    weak normal priors on the intercept and the log of the slope, as of `fit`.

    Args:
        logits: float (n, classes).
        labels: class numbers, int (n,).
        melanoma: the class number of melanoma.
    """
    temperature, biases = fit(logits, labels)
    found = Calibration(temperature, tuple(biases.tolist()), melanoma)
    if logits.shape[1] == 2:
        return found
    odds, positive = _log_odds(found.probabilities(logits)[:, melanoma]), labels == melanoma

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        z = x[0] + np.exp(x[1]) * odds
        error = expit(z) - positive
        value = np.logaddexp(0, z).sum() - z[positive].sum() + (x**2).sum() / SPREAD_OF_LINE**2 / 2
        slope = np.array([error.sum(), (error * np.exp(x[1]) * odds).sum()]) + x / SPREAD_OF_LINE**2
        return value / len(odds), slope / len(odds)

    line = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[BIASES, (-2, 2)], options=EXACT).x
    return Calibration(temperature, found.biases, melanoma, float(line[0]), float(np.exp(line[1])))


def _moved(p: np.ndarray, column: int, intercept: float, slope: float) -> np.ndarray:
    moved = expit(intercept + slope * _log_odds(p[:, column]))
    others = np.delete(p, column, axis=1)
    # Of a p(melanoma) that rounds to 1 nothing is left for the others; they then share alike.
    others = np.where(others.sum(axis=1, keepdims=True) > 0, others, 1.0)
    others *= ((1 - moved) / others.sum(axis=1))[:, None]
    return np.insert(others, column, moved, axis=1)


def _log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, LEAST, 1 - LEAST)
    return np.asarray(np.log(p) - np.log1p(-p))


def fit(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Temperature T and class biases b with the least log loss of softmax(logits / T + b).

    Probabilities then mean the class shares of these images, whatever weights the classes had in training: a
    temperature alone cannot do that. This is bias-corrected temperature scaling (Alexandari et al. 2020,
    arXiv:1901.06852). It adds weak normal priors on log T and b, each worth less than one image, so that T and b stay
    finite where a class has no image or is never confused. Scaling is by Guo et al. 2017, arXiv:1706.04599.

    Args:
        logits: float (n, classes).
        labels: class numbers, int (n,).

    Returns:
        T within TEMPERATURES, and b, float (classes,), within BIASES but for the shift that makes its sum 0.

    Examples:
        >>> import numpy as np
        >>> logits = np.array([[2.0, 0.0], [0.0, 2.0]]).repeat([60, 40], axis=0)
        >>> temperature, biases = fit(logits, np.array([0] * 60 + [1] * 10 + [0] * 30))  # a quarter of the calls for 1
        >>> probabilities(logits, temperature, biases).mean(axis=0).round(2)  # in truth 90 and 10 of 100
        array([0.9, 0.1])
    """
    n, classes = logits.shape
    logits, one_hot = logits.astype(np.float64), np.eye(classes)[labels]

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = logits * np.exp(-x[0])
        log_p = log_softmax(scaled + x[1:], axis=1)
        error = np.exp(log_p) - one_hot
        value = (
            -(log_p * one_hot).sum() + (x[0] / SPREAD_OF_LOG_T) ** 2 / 2 + (x[1:] ** 2).sum() / SPREAD_OF_BIAS**2 / 2
        )
        of_log_t = -(error * scaled).sum() + x[0] / SPREAD_OF_LOG_T**2
        of_bias = error.sum(axis=0) + x[1:] / SPREAD_OF_BIAS**2
        return value / n, np.append(of_log_t, of_bias) / n

    bounds = [tuple(np.log(TEMPERATURES)), *[BIASES] * classes]
    # The loss need not be convex in log T: the best of three starts.
    starts = [np.append(np.log(t), np.zeros(classes)) for t in (0.2, 1.0, 5.0)]
    found = [minimize(loss, x, jac=True, method="L-BFGS-B", bounds=bounds, options=EXACT) for x in starts]
    best = min(found, key=lambda each: each.fun).x
    return float(np.exp(best[0]).clip(*TEMPERATURES)), best[1:] - best[1:].mean()


def probabilities(logits: np.ndarray, temperature: float, biases: np.ndarray) -> np.ndarray:
    """softmax(logits / temperature + biases), float64 (n, classes), of logits (n, classes) and biases (classes,)."""
    return softmax(logits.astype(np.float64) / temperature + biases, axis=1)


def bounded_log(p: np.ndarray) -> np.ndarray:
    """The natural logarithm of probabilities, of LEAST for those below it; of the shape of `p`."""
    return np.log(np.clip(p, LEAST, 1))
