"""Whether probabilities can be taken at their word: slope, intercept and calibration error."""

from typing import Any

import numpy as np
from scipy.special import expit, logit

from lesionbench.evidence.calibration import LEAST
from lesionbench.evidence.intervals import Draws
from lesionbench.evidence.ranks import weighted_roc_auc

BINS = 15
PER_BIN = 10  # images: with fewer, there are fewer bins
MIN_LESIONS = 200  # for an error of 0.06: with 200 it reads 0.000 in one set of eight, with 100 in one of three
NULL_DRAWS = 200  # of the labels that true probabilities would give


def equal_mass(p: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin, int (n,), of each probability, float (n,), when all bins hold about as many images.

    There are at most `bins`, with PER_BIN images or more each. Equal probabilities fall into one bin.
    """
    count = int(np.clip(len(p) // PER_BIN, 1, bins))
    edges = np.unique(np.quantile(p, np.arange(1, count) / count))
    return np.unique(np.searchsorted(edges, p, side="left"), return_inverse=True)[1]


def ece(p: np.ndarray, positive: np.ndarray, lesion: np.ndarray) -> float | None:
    """Expected calibration error of one class: mean gap, over equal-mass bins, of mean probability and share.

    None with fewer than MIN_LESIONS lesions: chance then hides most errors, and a 0.000 would read as perfect. Versions
    before 0.2.0 reported another quantity under this name: of the likeliest class, by 15 even bins, with chance left
    in. The two cannot be compared.

    By chance alone the plain error of true probabilities is above 0. Its expectation is found by drawing labels from
    the probabilities (consistency resampling: Bröcker and Smith 2007, doi:10.1175/WAF993.1), one draw a lesion, with a
    fixed seed. Its square is taken off the plain error's, as Kumar et al. 2019, arXiv:1909.10155, do for squared gaps,
    and 0 is the least.

    Args:
        p: probability of the class, float (n,).
        positive: whether an image is of the class, bool (n,).
        lesion: number of each image's lesion from 0 on, int (n,).
    """
    if len(np.unique(lesion)) < MIN_LESIONS:
        return None
    number = equal_mass(p)
    bins = np.eye(number.max() + 1)[number]
    drawn = np.random.default_rng(0).random((NULL_DRAWS, lesion.max() + 1))[:, lesion] < p
    gaps = np.abs((np.vstack([positive, drawn]) - p) @ bins).sum(axis=1) / len(p)
    return float(np.sqrt(max(0.0, gaps[0] ** 2 - gaps[1:].mean() ** 2)))


def recalibrate(p: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Calibration intercept and slope, two float (weightings,), for many weightings of the same images.

    The slope b is that of the logistic regression of `positive` on a + b * logit(p). The intercept, "in the large", is
    its a with b = 1 (Cox 1958, doi:10.1093/biomet/45.3-4.562; Van Calster et al. 2019, doi:10.1186/s12916-019-1466-7).
    Perfect probabilities have intercept 0 and slope 1. Both are NaN without positives or without negatives, and the
    slope also where p separates the two without an error, or is constant.

    Args:
        p: probability of the class, float (n,); taken as calibration.LEAST at least and 1 - LEAST at most.
        positive: whether an image is of the class, bool (n,).
        weights: float (weightings, n).
    """
    x = logit(np.clip(p, LEAST, 1 - LEAST))
    return _newton(x, positive, weights, slope=False)[0], _newton(x, positive, weights, slope=True)[1]


def _newton(x: np.ndarray, positive: np.ndarray, weights: np.ndarray, slope: bool) -> tuple[np.ndarray, np.ndarray]:
    """Maximise the likelihood of a + b x over a, and over b if `slope`: two float (weightings,), NaN if it has none."""
    at, step = np.array([[0.0], [1.0]]).repeat(len(weights), axis=1), np.zeros((2, len(weights)))
    yes, no = (weights > 0) & positive, (weights > 0) & ~positive
    none = ~(yes.any(axis=1) & no.any(axis=1))
    if slope:
        none |= np.where(yes, x, np.inf).min(axis=1) >= np.where(no, x, -np.inf).max(axis=1)
        none |= np.where(yes, x, -np.inf).max(axis=1) <= np.where(no, x, np.inf).min(axis=1)
    at[:, none] = np.nan
    highest, going = np.full(len(weights), -np.inf), np.flatnonzero(~none)
    with np.errstate(all="ignore"):
        for _ in range(60):
            w, tried = weights[going], at[:, going] + step[:, going]
            eta = tried[0][:, None] + tried[1][:, None] * x
            likelihood = (w * (positive * eta - np.logaddexp(0, eta))).sum(axis=1)
            # A step that overshoots is halved.
            better = likelihood >= highest[going] - 1e-9
            at[:, going[better]], highest[going[better]] = tried[:, better], likelihood[better]
            step[:, going] = np.where(better, _step(x, positive, w, expit(eta), slope), step[:, going] / 2)
            going = going[np.abs(step[:, going]).max(axis=0) > 1e-7]
            if not len(going):
                break
    at[:, going] = np.nan
    return at[0], at[1]


def _step(x: np.ndarray, positive: np.ndarray, weights: np.ndarray, mu: np.ndarray, slope: bool) -> np.ndarray:
    """Newton's step in a and b, float (2, weightings), where the regression says `mu`."""
    rest, v = weights * (positive - mu), weights * mu * (1 - mu)
    g0, h00 = rest.sum(axis=1), v.sum(axis=1)
    if not slope:
        return np.array([g0 / h00, np.zeros(len(g0))])
    g1, h01, h11 = rest @ x, v @ x, v @ x**2
    return np.array([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0]) / (h00 * h11 - h01**2)


def evaluate(p: np.ndarray, positive: np.ndarray, draws: Draws) -> dict[str, Any]:
    """Reliability of the probability of melanoma, as results.Reliability says.

    Args:
        p: probability of melanoma, float (n,).
        positive: whether an image shows one, bool (n,).
        draws: resamples of the same n images. Where they draw within classes, the prevalence has no interval, because
            the split sets it, and the others are on condition of it.
    """
    total = draws.weights.sum(axis=1)
    fewest = draws.fewer(positive)
    every = draws.count(np.ones(len(p), bool)) if draws.free else fewest
    intercept, slope = recalibrate(p, positive, draws.weights)
    prevalence = draws.share("prevalence", positive, np.ones(len(p), bool))
    return {
        **draws.score("mean_p", draws.weights @ p / total, every, 0, 1),
        **(prevalence if draws.free else {"prevalence": prevalence["prevalence"]}),
        **draws.score("intercept", intercept, fewest),
        **draws.score("slope", slope, fewest),
        "ece": ece(p, positive, draws.lesion),
        **draws.score("roc_auc", weighted_roc_auc(p, positive, draws.weights), fewest, 0, 1),
    }
