"""From logits to calibrated probabilities."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

TEMPERATURES = (0.05, 20.0)
BIASES = (-10.0, 10.0)
SPREAD_OF_LOG_T = 1.0  # standard deviation of the normal prior on log T, around 0
LEAST = 1e-8  # a smaller probability counts as this in every loss and logit: written tables have 8 decimals
SPREAD_OF_BIAS = 3.0  # the same of each bias: a network trained on even classes is off by 4.1 between df and nv


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
    options = {"maxiter": 500, "ftol": 1e-14, "gtol": 1e-9}
    found = [minimize(loss, x, jac=True, method="L-BFGS-B", bounds=bounds, options=options) for x in starts]
    best = min(found, key=lambda each: each.fun).x
    return float(np.exp(best[0]).clip(*TEMPERATURES)), best[1:] - best[1:].mean()


def probabilities(logits: np.ndarray, temperature: float, biases: np.ndarray) -> np.ndarray:
    """softmax(logits / temperature + biases), float64 (n, classes), of logits (n, classes) and biases (classes,)."""
    return softmax(logits.astype(np.float64) / temperature + biases, axis=1)


def bounded_log(p: np.ndarray) -> np.ndarray:
    """The natural logarithm of probabilities, of LEAST for those below it; of the shape of `p`."""
    return np.log(np.clip(p, LEAST, 1))
