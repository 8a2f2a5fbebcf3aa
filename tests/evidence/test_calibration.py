"""Calibration: the temperature is found, and never makes things worse where it was fitted."""

import numpy as np
import pytest
from hypothesis import given
from scipy.special import softmax
from scores import draw_scores, seeds
from sklearn import metrics as sk

from lesionbench.evidence import calibration


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
@pytest.mark.parametrize("classes", [2, 7])
def test_the_temperature_of_scaled_calibrated_logits_is_found(temperature: float, classes: int) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, classes))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # drawn from softmax(logits)
    assert calibration.fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.04)


@given(seeds)
def test_calibration_never_raises_its_own_log_loss(seed: int) -> None:
    """Calibration on the same images never raises the log loss."""
    p, labels, _ = draw_scores(seed, 60, 3)
    logits = np.log(p) * 3
    calibrated = calibration.probabilities(logits, calibration.fit_temperature(logits, labels))
    assert sk.log_loss(labels, calibrated) <= sk.log_loss(labels, calibration.probabilities(logits, 1.0)) + 1e-9


def test_probabilities_sum_to_one_and_keep_the_order() -> None:
    logits = np.array([[1000.0, -1000.0, 3.0], [0.1, 0.2, 0.3]], np.float32)
    p = calibration.probabilities(logits, 2.0)
    assert p.dtype == np.float64
    assert p.sum(axis=1) == pytest.approx([1, 1])
    assert p.argmax(axis=1).tolist() == [0, 2]
    assert p[1] == pytest.approx(softmax(logits[1].astype(float) / 2))
