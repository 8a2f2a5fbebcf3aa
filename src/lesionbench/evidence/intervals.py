"""95 % intervals that resample lesions instead of images, and none where there is too little to resample."""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit

MIN_LESIONS = 10  # of a class: below it, resampling says nothing about what other lesions would be like
NARROWEST = 1e-6  # width of an interval; resamples that differ by less differ by the rounding of float32
MIN_DEFINED = 0.9  # share of the resamples in which a score must be defined
Z = 1.959963984540054  # of a normal distribution's middle 95 %


def resample_groups(groups: np.ndarray, strata: np.ndarray | None, samples: int, seed: int) -> np.ndarray:
    """Bootstrap weights, float (samples, n): how much each image counts when whole groups are drawn.

    Of the k groups of a stratum, k - 1 are drawn with replacement, and each counts k / (k - 1): the variance of k
    draws would be too small by (k - 1) / k, which matters in classes of a dozen lesions (Rao and Wu 1988,
    doi:10.1080/01621459.1988.10478591). A lone group is always drawn.

    Args:
        groups: group of each image, (n,).
        strata: stratum of each image, (n,). Groups are drawn within their stratum, the one of their first image, so
            its number of groups is taken as given. None: all groups are drawn together, and how many a class has
            varies as well.
        samples: number of resamples.
        seed: seed of the draws.
    """
    rng = np.random.default_rng(seed)
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    stratum_of = np.zeros(len(first)) if strata is None else strata[first]
    drawn = np.ones((samples, len(first)))
    for stratum in np.unique(stratum_of):
        members = np.flatnonzero(stratum_of == stratum)
        k = len(members)
        if k > 1:
            drawn[:, members] = rng.multinomial(k - 1, np.full(k, 1 / k), size=samples) * (k / (k - 1))
    return drawn[:, number]


def interval(values: np.ndarray) -> list[float] | None:
    """The 2.5th and 97.5th percentiles of resampled values, float (samples,), over those that are not NaN.

    It so holds on condition that the score is defined. None if it is undefined in more than a tenth of the resamples,
    if there is no resample, or if all are equal to NARROWEST: then nothing was varied that the score depends on.
    """
    defined = values[~np.isnan(values)]
    if not len(defined) or len(defined) < MIN_DEFINED * len(values):
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return [float(low), float(high)] if high - low > NARROWEST else None


def wilson(share: float, n: float) -> list[float]:
    """The 95 % score interval of a share, 0 to 1, seen in `n` independent units (Wilson 1927, doi:10.2307/2276774)."""
    middle, half = share + Z**2 / (2 * n), Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = (np.array([middle - half, middle + half]) / (1 + Z**2 / n)).clip(0, 1)
    return [min(float(low), share), max(float(high), share)]  # rounding may put a bound inside of 0 or 1


@dataclass(frozen=True)
class Draws:
    """Images by lesion, and how much each counts in each resample.

    Attributes:
        lesion: number of each image's lesion, int (n,).
        weights: float (1 + samples, n). The first row counts each image once.
        free: whether all lesions were drawn together, so that the number of lesions of a class varies.
    """

    lesion: np.ndarray
    weights: np.ndarray
    free: bool

    @classmethod
    def make(cls, groups: np.ndarray, strata: np.ndarray | None, samples: int, seed: int) -> "Draws":
        """Draw with the arguments of resample_groups; 0 samples leave all intervals out."""
        drawn = resample_groups(groups, strata, samples, seed)
        number = np.unique(groups, return_inverse=True)[1]
        return cls(number, np.vstack([np.ones((1, len(groups))), drawn]), strata is None)

    def take(self, rows: np.ndarray) -> "Draws":
        """The same resamples of some of the images; `rows` are their numbers, or bool (n,)."""
        return Draws(self.lesion[rows], self.weights[:, rows], self.free)

    def count(self, rows: np.ndarray) -> int:
        """Number of lesions with one of `rows`, bool (n,)."""
        return len(np.unique(self.lesion[rows]))

    def fewer(self, positive: np.ndarray) -> int:
        """Number of lesions of the rarer of two kinds, `positive` and the rest, on which their ROC AUC rests."""
        return min(self.count(positive), self.count(~positive))

    def score(
        self, name: str, values: np.ndarray, fewest: int, low: float = -np.inf, high: float = np.inf
    ) -> dict[str, float | list[float] | None]:
        """A score and its interval, as {name: number or None, `<name>_ci`: [low, high]}.

        The interval is the score ± t standard deviations of the resamples, t of fewest - 1 degrees of freedom. It is
        symmetric in the logit of a score with two limits, and in the logarithm of the distance to a single limit:
        percentiles of a skewed score, such as an AUC near 1, miss the truth on one side (see benchmarks/coverage.py).

        Args:
            name: of the score.
            values: the score under each row of weights, float (1 + samples,); NaN where undefined.
            fewest: how many lesions the score rests on, of the rarest class that it needs; below MIN_LESIONS there
                is no interval.
            low: the score's lowest value.
            high: the score's highest value.
        """
        value, resampled = float(values[0]), values[1:]
        if np.isnan(value):
            return {name: None}
        if fewest < MIN_LESIONS or interval(resampled) is None or not low < value < high:
            return {name: value}
        reach = stats.t.ppf(0.975, fewest - 1) * np.nanstd(resampled) * np.array([-1, 1])
        if np.isfinite(low) and np.isfinite(high):
            odds = np.log((value - low) / (high - value)) + reach * (1 / (value - low) + 1 / (high - value))
            bounds = low + (high - low) * expit(odds)
        elif np.isfinite(low):
            bounds = low + (value - low) * np.exp(reach / (value - low))
        elif np.isfinite(high):
            bounds = high - (high - value) * np.exp(-reach / (high - value))
        else:
            bounds = value + reach
        return {name: value, f"{name}_ci": bounds.tolist()}

    def share(self, name: str, part: np.ndarray, whole: np.ndarray) -> dict[str, float | list[float] | None]:
        """The share of `whole` that is `part`, both bool (n,), and its interval; same result as `score`.

        The interval is Wilson's for an effective number of images: the one with which independent images would vary as
        much as the resamples do, but no more than there are (Korn and Graubard 1998). With fewer than MIN_LESIONS, or
        where nothing varies, it is the number of lesions, less where some have more images than others (Kish: sum² /
        sum of squares).
        """
        if not whole.any():
            return {name: None}
        with np.errstate(invalid="ignore", divide="ignore"):
            values = (self.weights @ (part & whole)) / (self.weights @ whole)
        value, images = float(values[0]), np.bincount(self.lesion[whole])
        if len(values) == 1:
            return {name: value}
        n = float(images.sum() ** 2 / (images**2).sum())
        spread = float(np.nanvar(values[1:])) if np.isfinite(values[1:]).any() else 0.0
        if (images > 0).sum() >= MIN_LESIONS and spread > 1e-12 and 0 < value < 1:
            t = stats.t.ppf(0.975, (images > 0).sum() - 1)
            n = min(value * (1 - value) / spread, float(images.sum())) * (Z / t) ** 2
        return {name: value, f"{name}_ci": wilson(value, n)}

    def mean_share(
        self, name: str, parts: list[tuple[np.ndarray, np.ndarray]]
    ) -> dict[str, float | list[float] | None]:
        """The mean of shares of lesions that have nothing in common, such as recalls of classes; result as of `share`.

        Each share's distance to its bounds counts squared, as variances do (MOVER: Zou and Donner 2008,
        doi:10.1002/sim.3095). None if a share is undefined.

        Args:
            name: of the mean.
            parts: the arguments `part` and `whole` of `share`, for each share.
        """
        told = [self.share("of", part, whole) for part, whole in parts]
        if any(each["of"] is None for each in told):
            return {name: None}
        shares = np.array([each["of"] for each in told])
        value = float(shares.mean())
        if len(self.weights) == 1:
            return {name: value}
        reach = np.sqrt(((np.array([each["of_ci"] for each in told]) - shares[:, None]) ** 2).sum(axis=0)) / len(shares)
        return {name: value, f"{name}_ci": [max(0.0, value - float(reach[0])), min(1.0, value + float(reach[1]))]}
