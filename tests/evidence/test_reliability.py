"""Reliability: true probabilities have slope 1 and no error, false ones are found out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scores import draw_scores, seeds
from sklearn.linear_model import LogisticRegression

from lesionbench.evidence import reliability
from lesionbench.evidence.intervals import Draws


def drawn(seed: int, n: int = 1500, factor: float = 1.0, shift: float = 0.0, images: int = 1) -> tuple:
    """Probabilities of 11 % on average, labels of their lesions, and lesions; p is off by factor and shift."""
    rng = np.random.default_rng(seed)
    lesion = np.arange(n) // images
    truth = rng.normal(-2.9, 1.6, n)[lesion]
    positive = (rng.random(n) < expit(truth)[np.arange(n)])[lesion * images]
    return expit(factor * truth + shift), positive, lesion


def reliability_of(seed: int, free: bool = True, **how: float) -> dict:
    p, positive, lesion = drawn(seed, **how)
    return reliability.evaluate(p, positive, Draws.make(lesion, None if free else positive, 200, 1))


@pytest.mark.parametrize(("n", "images"), [(1500, 1), (1500, 3), (300, 1)])
def test_true_probabilities_have_no_calibration_error(n: int, images: int) -> None:
    """By chance the plain error is 0.01 to 0.05 here; what is left of it is near 0."""
    left = [reliability.ece(*drawn(seed, n, images=images)) for seed in range(60)]
    assert np.mean(left) < 0.01 * np.sqrt(1500 / n * images)
    assert np.median(left) < 0.009 * np.sqrt(1500 / n * images)


@pytest.mark.parametrize(("factor", "shift"), [(2.0, 0.0), (1.0, 1.5), (0.5, 0.0)])
def test_a_true_error_is_kept(factor: float, shift: float) -> None:
    """The error of false probabilities on 1,500 images is that on a million, within a tenth of it on average."""
    p, positive, _ = drawn(0, 1_000_000, factor, shift)
    x = (logit(p) - shift) / factor
    truth = np.abs(np.bincount(reliability.equal_mass(p), p - expit(x)) / len(p)).sum()
    assert positive.mean() == pytest.approx(expit(x).mean(), abs=0.002)
    found = [reliability.ece(*drawn(seed, 1500, factor, shift)) for seed in range(60)]
    assert np.mean(found) == pytest.approx(truth, rel=0.1, abs=0.002)


def test_the_calibration_error_has_a_fixed_seed() -> None:
    """Two calls say the same."""
    assert reliability.ece(*drawn(1)) == reliability.ece(*drawn(1)) is not None


def test_few_lesions_have_no_calibration_error() -> None:
    """Probabilities that are too high by 0.06 would read 0.000, so perfect, in a third of sets of 100 lesions."""
    for lesions in (1, 100, reliability.MIN_LESIONS - 1):
        assert reliability.ece(*drawn(1, 3 * lesions, images=3)) is None
    found = [reliability.ece(*drawn(seed, reliability.MIN_LESIONS, shift=0.7)) for seed in range(100)]
    assert None not in found
    assert np.mean(np.array(found) == 0) < 0.25


@given(seed=seeds, n=st.integers(1, 400), decimals=st.sampled_from([None, 1]))
def test_bins_hold_equal_shares_and_keep_the_order(seed: int, n: int, decimals: int | None) -> None:
    """Bins are numbered from 0 by rising p; equal p share a bin; without ties the sizes differ by two at most."""
    p = np.random.default_rng(seed).random(n)
    p = p if decimals is None else p.round(decimals)
    bins = reliability.equal_mass(p)
    order = np.argsort(p, kind="stable")
    assert (np.diff(bins[order]) >= 0).all()
    assert set(bins) == set(range(bins.max() + 1))
    assert bins.max() + 1 <= max(1, min(reliability.BINS, n // reliability.PER_BIN))
    assert all(len({*bins[p == each]}) == 1 for each in p)
    if decimals is None:
        assert np.ptp(np.bincount(bins)) <= 2


@given(seed=seeds, factor=st.sampled_from([0.3, 1, 3]))
def test_slope_and_intercept_are_a_logistic_regression_s(seed: int, factor: float) -> None:
    """As scikit-learn fits it, weighted; the intercept's residuals sum to 0 at slope 1."""
    p, labels, weights = draw_scores(seed, 200, 2)
    p = expit(factor * logit(p[:, 1]) - 0.7)
    positive = labels == 1
    intercept, slope = reliability.recalibrate(p, positive, np.stack([np.ones(200), weights]))
    for row, w in enumerate([np.ones(200), weights]):
        fitted = LogisticRegression(C=np.inf, tol=1e-8).fit(logit(p)[:, None], positive, sample_weight=w)
        assert slope[row] == pytest.approx(fitted.coef_[0, 0], rel=2e-3)
        moved = expit(intercept[row] + logit(p))
        assert w @ moved == pytest.approx(w @ positive, rel=1e-6)


def test_what_has_no_slope_is_undefined() -> None:
    """Without positives, with a constant p, or with perfect separation; an intercept there may still be."""
    p, once = np.array([0.1, 0.2, 0.3, 0.9] * 5), np.ones((1, 20))
    intercept, slope = reliability.recalibrate(p, np.zeros(20, bool), once)
    assert np.isnan([intercept, slope]).all()
    intercept, slope = reliability.recalibrate(p, p > 0.5, once)
    assert np.isfinite(intercept).all()
    assert np.isnan(slope).all()
    intercept, slope = reliability.recalibrate(np.full(20, 0.3), p > 0.5, once)
    assert intercept == pytest.approx(logit(0.25) - logit(0.3))
    assert np.isnan(slope).all()


def test_intervals_hold_what_is_true_and_exclude_what_is_not() -> None:
    """In 120 sets of 600 true probabilities; twice too sure ones, and ones of another prevalence, are told apart."""
    true = [reliability_of(seed, n=600) for seed in range(120)]
    for name, value in (("slope", 1), ("intercept", 0)):
        held = [each[f"{name}_ci"][0] <= value <= each[f"{name}_ci"][1] for each in true]
        assert 0.9 < np.mean(held) < 1
    sure, high = reliability_of(1, factor=2.0), reliability_of(1, shift=1.0)
    assert sure["slope_ci"][1] < 0.7
    assert high["intercept_ci"][1] < -0.6
    assert high["mean_p_ci"][0] > high["prevalence_ci"][1]
    assert sure["ece"] > 0.02
    assert high["ece"] > 0.05


def test_a_prevalence_that_the_split_sets_has_no_interval() -> None:
    """Drawn within classes, the number of melanomas does not vary."""
    assert "prevalence_ci" not in reliability_of(1, free=False)
    assert "prevalence_ci" in reliability_of(1)


def test_few_melanomas_give_numbers_without_intervals() -> None:
    """Below ten lesions of melanoma, slope, intercept and AUC have none."""
    p, positive, lesion = drawn(1, 60)
    positive = np.arange(60) < 6
    found = reliability.evaluate(p, positive, Draws.make(lesion, None, 50, 1))
    assert [name for name in found if name.endswith("_ci")] == ["mean_p_ci", "prevalence_ci"]
    assert found["slope"] is not None


@pytest.mark.parametrize("seed", range(8))
def test_the_interval_of_a_share_stays_within_0_and_1(seed: int) -> None:
    """An AUC near 1 on few melanomas has a wide interval, but no bound beyond 1."""
    found = reliability_of(seed, n=200, factor=6.0, shift=4.0)
    for name in ("mean_p", "prevalence", "roc_auc"):
        if bounds := found.get(f"{name}_ci"):
            assert 0 <= bounds[0] < bounds[1] <= 1
    near_one = reliability.evaluate(*nearly_sure(seed))
    assert near_one["roc_auc_ci"][1] <= 1


def nearly_sure(seed: int) -> tuple[np.ndarray, np.ndarray, Draws]:
    """190 images of which 21 show a melanoma; all but one melanoma score above the others."""
    rng = np.random.default_rng(seed)
    positive = np.arange(190) < 21
    p = np.where(positive, rng.uniform(0.5, 0.9, 190), rng.uniform(0.01, 0.4, 190))
    p[0] = 0.02
    return p, positive, Draws.make(np.arange(190), None, 200, 1)
